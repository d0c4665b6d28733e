"""Names of measures, and what each divides by."""

import pytest

from transfusion.errors import UnknownNameError
from transfusion.similarity import MEASURES, measure


def test_names_lead_to_measures():
    assert all(measure(name) is one for name, one in MEASURES.items())


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        UnknownNameError, match=r"no measure 'ccaa'. Did you mean 'cca'\? Known: cca, cca_squared, svcca"
    ):
        measure("ccaa")


def test_only_measures_that_whiten_take_the_exact_route():
    assert {name for name, one in MEASURES.items() if one.whitens} == {"cca", "cca_squared", "svcca", "pwcca"}
