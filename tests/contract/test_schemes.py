"""What every scheme and batch-norm mode of the registries owes, and that everything which lists them lists them all."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import get_args

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from transfusion import cli, spec, terms
from transfusion.errors import DonorError, UnknownNameError
from transfusion.report import palette
from transfusion.runs.plan import starts
from transfusion.schemes import BATCH_NORMS, HEADS, SCHEMES, initialize, reads_donor, rules
from transfusion.schemes.slots import slots

ROOT = Path(__file__).parents[2]


def network(num_outputs=3):
    """Batch norm, layer norm, biases, an embedding with padding, a scale and a table of indices."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.bn = nn.BatchNorm2d(8)
            self.norm = nn.LayerNorm((4, 2))
            self.words = nn.Embedding(7, 8, padding_idx=0)
            self.slope = nn.PReLU(8)
            self.register_buffer("order", torch.arange(8))
            self.head = nn.Linear(8, num_outputs)

    return Net()


def donor():
    """Numbers that no scheme gives by itself."""
    model, draw = network(num_outputs=5), torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=draw) + (3 if "running_var" in name else 2))
    model.words.weight.data[0] = 0
    return model


def filled(scheme, batch_norm="identity", seed=0, given=True):
    model = network()
    provenance = initialize(model, scheme, donor() if given else None, seed, batch_norm)
    return model.state_dict(), provenance


def body(state):
    return {name: tensor for name, tensor in state.items() if not name.startswith("head")}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", SCHEMES)
class TestScheme:
    def test_it_goes_by_one_name_and_says_what_it_does(self, name):
        assert SCHEMES[name].name == name
        assert len(type(SCHEMES[name]).__doc__ or "") > 20
        assert f"``{name}``" in rules.__doc__

    def test_it_needs_a_donor_or_reads_none(self, name):
        assert reads_donor(network(), name) == SCHEMES[name].needs_donor
        if SCHEMES[name].needs_donor:
            with pytest.raises(DonorError, match=f"'{name}' needs a donor"):
                filled(name, given=False)
        else:
            assert same(filled(name)[0], filled(name, given=False)[0])

    def test_every_tensor_is_finite_and_accounted_for(self, name):
        state, provenance = filled(name)
        assert [row.tensor for row in provenance.rows] == list(state)
        assert all(tensor.isfinite().all() for tensor in state.values())

    def test_the_seed_decides_every_draw(self, name):
        assert same(filled(name, seed=4)[0], filled(name, seed=4)[0])
        assert same(body(filled(name, seed=4)[0]), body(filled(name, seed=5)[0])) == (name == "pretrained")

    def test_it_has_the_head_of_every_other(self, name):
        state, one = filled(name)[0], filled("random")[0]
        assert torch.equal(state["head.weight"], one["head.weight"])
        assert torch.equal(state["head.bias"], one["head.bias"])

    def test_index_tables_and_padding_are_not_drawn(self, name):
        state, _ = filled(name)
        assert torch.equal(state["order"], torch.arange(8))
        assert (state["words.weight"][0] == 0).all()

    def test_the_mode_decides_about_batch_norm_unless_it_owns_it(self, name):
        ones = [filled(name, mode)[0]["bn.weight"] for mode in BATCH_NORMS]
        assert all(torch.equal(ones[0], other) for other in ones) == SCHEMES[name].owns_batch_norm

    def test_a_study_knows_how_it_is_varied(self, name):
        grid = spec.StudySpec(schemes=(name,), batch_norms=get_args(terms.BatchNorm), upto=(None, "bn"))
        labels = [start.label for start in starts(grid)]
        assert len(set(labels)) == len(labels)
        assert all(label.startswith(name) for label in labels)
        redrawn = SCHEMES[name].needs_donor and not SCHEMES[name].owns_batch_norm
        assert len(labels) == (3 if redrawn else 2 if name == "pretrained" else 1)

    def test_pages_have_looks_for_it(self, name):
        assert palette.style_of(name) != palette.UNKNOWN


@pytest.mark.parametrize("mode", BATCH_NORMS)
class TestBatchNormMode:
    def test_it_fills_all_five_tensors_and_nothing_else(self, mode):
        with_mode, other = (filled("mean_var", each) for each in (mode, "identity"))
        norm = [slot.name for slot in slots(network()) if slot.role == "batch_norm"]
        assert norm == [f"bn.{key}" for key in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
        rules_used = {with_mode[1][name].rule for name in norm} - {"zero"}  # a count of batches starts from 0
        assert rules_used == {mode}
        assert same({k: t for k, t in with_mode[0].items() if k not in norm}, other[0])

    def test_variances_are_positive(self, mode):
        assert (filled("mean_var", mode)[0]["bn.running_var"] > 0).all()

    def test_it_needs_a_donor_or_reads_none(self, mode):
        needs = BATCH_NORMS[mode].needs_donor
        assert reads_donor(network(), "random", batch_norm=mode) == needs
        if needs:
            with pytest.raises(DonorError, match="needs a donor"):
                filled("random", mode, given=False)


def test_the_vocabularies_of_settings_are_the_registries():
    assert get_args(terms.Scheme) == tuple(SCHEMES)
    assert get_args(terms.BatchNorm) == tuple(BATCH_NORMS)
    assert get_args(terms.Head) == tuple(HEADS)


def test_every_scheme_is_drawn_in_a_way_of_its_own():
    styles = {palette.style_of(name) for name in SCHEMES}
    assert len(styles) == len(SCHEMES)
    assert palette.UNKNOWN not in styles


@pytest.mark.parametrize(
    ("command", "option", "names"),
    [
        ("study", "--schemes", SCHEMES),
        ("study", "--batch-norms", BATCH_NORMS),
        ("study", "--head", HEADS),
        ("init", "--batch-norm", BATCH_NORMS),
        ("init", "--head", HEADS),
    ],
)
def test_help_lists_every_name(command, option, names):
    shown = " ".join(CliRunner().invoke(cli.transfusion, [command, "--help"]).output.split())
    _, _, after = shown.partition(f"{option} ")
    said = re.split(r" --[a-z]", after)[0]
    assert [name for name in names if not re.search(rf"\b{name}\b", said)] == []


@pytest.mark.parametrize("page", ["README.md", "docs/how-to-choose.md"])
def test_the_pages_that_say_how_to_choose_name_every_scheme(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [name for name in SCHEMES if f"`{name}`" not in text] == []


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'random'\? Known: pretrained, random, kaiming"):
        starts(spec.StudySpec(schemes=("randon",)))


def test_a_scheme_of_another_version_looks_like_none_of_ours():
    assert palette.style_of("spectrum") == palette.UNKNOWN
    assert palette.UNKNOWN.colour not in {style.colour for style in palette.SCHEMES.values()}


def test_initialising_twice_gives_what_once_gives():
    """Nothing of what a network held before stays, but what no scheme draws."""
    used = copy.deepcopy(donor())
    once = network(num_outputs=5)
    for name in SCHEMES:
        initialize(used, name, donor(), seed=3)
        initialize(once, name, donor(), seed=3)
        assert same(used.state_dict(), once.state_dict()), name
