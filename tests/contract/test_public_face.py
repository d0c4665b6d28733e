"""The names that others build on, and how quickly they come."""

import inspect
import os
import subprocess
import sys

import pytest

import transfusion

SIGNATURES = {
    "initialize": ["model", "scheme", "donor", "seed", "batch_norm", "upto", "rest"],
    "stages": ["model"],
    "cca": ["x", "y"],
    "svcca": ["x", "y"],
    "pwcca": ["x", "y"],
    "linear_cka": ["x", "y"],
    "procrustes": ["x", "y"],
    "compare": ["networks", "batches", "stages", "measures"],
    "gabor_score": ["filters"],
    "conclude": ["frame", "metric", "baseline"],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    parameters = list(inspect.signature(getattr(transfusion, name)).parameters)
    assert parameters[: len(SIGNATURES[name])] == SIGNATURES[name]
    assert inspect.getdoc(getattr(transfusion, name))


def test_a_module_never_hides_a_public_function():
    for name in transfusion.__all__:
        assert not inspect.ismodule(getattr(transfusion, name)), name


def test_a_study_answers_what_it_promises():
    for name in ("load", "run", "frame", "verdict", "runs"):
        assert callable(getattr(transfusion.Study, name))


def test_help_imports_nothing_heavy():
    heavy = {"torch", "pandas", "numpy", "pydantic", "rich"}
    code = f"import sys, transfusion.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
