"""`transfusion compare A B`, from weight files to a page; and its refusals."""

import re
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from transfusion import models
from transfusion.cli import main

MODEL = "cbr_tiny_small"


@pytest.fixture
def here(pets):
    """Pictures in two classes, and two sets of weights whose heads differ in width."""
    tmp_path = pets
    for name, num_outputs in (("a", 2), ("b", 5)):
        weights = models.build(MODEL, num_outputs, 3, 16).state_dict()
        generator = torch.Generator().manual_seed(num_outputs)
        noise = {k: 0.02 * torch.randn(v.shape, generator=generator) for k, v in weights.items() if v.ndim == 4}
        save_file({k: v + noise.get(k, 0) for k, v in weights.items()}, f"{name}.safetensors")
    save_file({"conv.weight": torch.zeros(3)}, "other.safetensors")
    return tmp_path


def run(*words):
    sys.argv = ["transfusion", "compare", *words]
    main()


PETS = ("--data", "pets", "--model", MODEL, "--image-size", "16", "--positions", "4")


def test_table_files_and_page(here, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("a.safetensors", "file:b.safetensors", *PETS, "--out", "out")
    said = capsys.readouterr()
    assert stopped.value.code == 0, said
    frame, grid = pd.read_csv("out/comparison.csv"), pd.read_csv("out/across.csv")
    assert set(frame.measure) == {"cca", "linear_cka"}
    assert all(stage in said.out for stage in frame.stage)
    assert len(grid) == frame.stage.nunique() ** 2
    page = (here / "out" / "comparison.html").read_text()
    assert "most alike at stage" in page
    assert "First-layer filters" in page


def test_the_same_weights_are_alike_and_others_are_not(here, capsys):
    for b in ("a", "b"):
        with pytest.raises(SystemExit):
            run("a.safetensors", f"{b}.safetensors", *PETS, "--measures", "linear_cka", "--out", b)
    same, other = (pd.read_csv(f"{b}/comparison.csv").value for b in ("a", "b"))
    assert same.to_numpy() == pytest.approx(1)
    assert (other < 0.999).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a.safetensors", "gone.safetensors", *PETS), "gone.safetensors does not exist"),
        (("a.safetensors", "other.safetensors", *PETS), "does not fit the model"),
        (("a.safetensors", "b.safetensors", *PETS[:3], "resnet51"), "no model 'resnet51'"),
        (("a.safetensors", "b.safetensors", "--data", "pets"), "Both --model and --data are needed"),
        (("a.safetensors", "b.safetensors", *PETS, "--measures", "ccaa"), "no measure 'ccaa'"),
        (("a.safetensors", "b.safetensors", *PETS, "--stages", "layer9"), "no stage .*'layer9'"),
    ],
)
def test_refusals(here, capsys, words, message):
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("transfusion: ")]
    assert stopped.value.code == 2
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]
