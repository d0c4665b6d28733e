"""A recipe in miniature, on pictures made on the spot, from the command to the page."""

import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from transfusion.cli import transfusion
from transfusion.errors import SpecError, UnknownNameError
from transfusion.networks import models
from transfusion.paper.grids import PAPER, Choices
from transfusion.paper.replication import Replication
from transfusion.runs.store import write_tensors
from transfusion.spec import TrainSpec

pytestmark = pytest.mark.training


def test_every_item_of_the_paper_is_in_one_recipe():
    names = [item.name for recipe in PAPER.values() for item in recipe.items if not item.is_control]
    figures = {f"F{number}" for number in range(2, 19)}
    assert sorted(names) == sorted({"T1", "T2", "T3", "T4", "T5"} | figures)


def test_items_choose_parts():
    recipe = PAPER["fundus"]
    choices = Choices(data="somewhere", mini=True)
    assert set(recipe.parts(choices, ("T1", "F5"))) == {"t1", "f5"}
    assert set(recipe.parts(choices, ("J3",))) == {"t1", "j3_low", "j3_high"}
    assert not {"j2", "j5", "j3_low"} & set(recipe.parts(choices))  # controls cost runs: on request only
    with pytest.raises(UnknownNameError, match="no item 'T9'"):
        recipe.parts(choices, ("T9",))
    with pytest.raises(SpecError, match="needs data"):
        recipe.parts(Choices())


def test_full_scale_has_the_papers_settings():
    parts = PAPER["fundus"].parts(Choices(data="eyepacs"))
    train = parts["t1"].train
    assert (parts["t1"].model, parts["t1"].task.image_size) == ("resnet50", 587)
    assert (train.optimizer, train.lr, train.batch_size) == ("adam", 1e-3, 8)
    assert parts["f10"].upto == ("stem", "layer1", "layer2", "layer3", None)


def test_a_folder_without_cifar_is_one_line(tmp_path):
    with pytest.raises(SpecError, match="holds none of cifar-10-batches-py"):
        PAPER["cifar"].parts(Choices(data=tmp_path))


@pytest.fixture
def pictures(tmp_path):
    """Bright and dark squares, 40 to train on and 20 to test on."""
    draw = np.random.default_rng(0)
    for split, num in (("train", 20), ("test", 10)):
        for label, level in (("dark", 60), ("bright", 180)):
            folder = tmp_path / "pictures" / split / label
            folder.mkdir(parents=True)
            for number in range(num):
                noise = draw.normal(level, 20, (32, 32, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(noise).save(folder / f"{label}{split}{number}x.png")
    return tmp_path / "pictures"


def test_data_of_another_kind_are_refused_before_anything_is_trained(tmp_path, pictures):
    donor = tmp_path / "donor.safetensors"
    write_tensors(donor, models.build("cbr_tiny_small", 5).state_dict())
    choices = Choices(pictures, mini=True, seeds=1, model="cbr_tiny_small", donors=(f"file:{donor}",), image_size=32)
    with pytest.raises(SpecError, match="has binary labels, and chest takes multilabel"):
        Replication("chest", choices, tmp_path / "out").begin()
    assert not (tmp_path / "out" / "recipe.json").exists()


@pytest.mark.slow
def test_a_recipe_runs_once_and_judges_every_claim(tmp_path, pictures):
    donor = tmp_path / "donor.safetensors"
    write_tensors(donor, models.build("cbr_tiny_small", 5).state_dict())
    out = tmp_path / "out"
    options = ["--data", str(pictures), "--mini", "--seeds", "1", "--model", "cbr_tiny_small", "--image-size", "32"]
    command = ["paper", "fundus", *options, "--donor", f"file:{donor}", "--out", str(out), "--workers", "0"]
    runner = CliRunner()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfusion.paper.grids._MINI", TrainSpec(lr=1e-3, steps=4, batch_size=8, eval_every=2))
        first = runner.invoke(transfusion, [*command, "--only", "F4"], catch_exceptions=False)
        assert first.exit_code == 0, first.output
        runs = {path.name: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
        second = runner.invoke(transfusion, [*command, "--only", "F5"], catch_exceptions=False)
    assert second.exit_code == 0
    later = {path.name: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert runs.items() <= later.items()  # the three starts that both parts need are not trained again
    assert (len(runs), len(later)) == (5, 7)
    claims = pd.read_csv(out / "claims.csv").set_index("id")
    assert claims.loc["A1", "outcome"] == "not run"
    assert claims.loc["A1", "own"] == "replicated"
    assert set(claims["outcome"]) <= {"replicated", "contradicted", "cannot tell", "not testable here", "not run"}
    page = (out / "replication.html").read_text()
    assert re.search(r"Did it replicate\?", page)
    assert all(claim in page for claim in claims.index)
