"""A recipe in miniature, on pictures made on the spot, from the command to the page."""

import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from transfusion.cli import transfusion
from transfusion.errors import SpecError, UnknownNameError
from transfusion.files import write_json
from transfusion.networks import models
from transfusion.paper.grids import PAPER, Choices
from transfusion.paper.record import MEMORY, neighbours
from transfusion.paper.replication import Replication
from transfusion.paper.step_cost import StepCost, measured
from transfusion.runs.store import write_tensors
from transfusion.spec import RunSpec, TaskSpec, TrainSpec

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


def test_the_chest_recipe_has_the_settings_of_the_code_behind_table_5():
    spec = PAPER["chest"].parts(Choices(data="nih"))["t5"]
    train = spec.train
    assert (spec.task.image_size, train.ten_crop, train.augment) == (256, 224, "resized_crop")
    assert (train.schedule, train.gamma, train.patience, train.eval_epochs) == ("plateau", 0.1, 5, 1)
    assert spec.task.val_fraction > 0  # what the schedule follows, where the lists name none
    mini = PAPER["chest"].parts(Choices(data="nih", mini=True))["t5"]
    assert (mini.train.ten_crop, mini.train.schedule, mini.task.val_fraction) == (None, "constant", 0)


def cells(text, item):
    """The columns of an item's row of the list."""
    row = next(line for line in text.splitlines() if line.startswith(f"{item} "))
    return re.split(r"\s{2,}", row.strip())


def test_the_list_has_runs_images_and_time_of_every_item(monkeypatch):
    monkeypatch.setattr("transfusion.paper.listing.measured", lambda run: StepCost(0.0, 0.001, 0.0))
    found = CliRunner().invoke(transfusion, ["paper"], catch_exceptions=False).output
    for recipe in PAPER.values():
        assert recipe.needs.split(",")[0] in " ".join(found.split())
        for item in recipe.items:
            assert len(cells(found, item.name)) == 6
    assert cells(found, "T1")[3:] == ["20", "16 M", "about 4 h 26 min"]
    sizes = sum(round(share * 50_000) for share in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0))
    images = 200 * (4 * 5 * sizes + 50_000)  # and the donor's
    assert cells(found, "T4")[3:5] == ["121", f"{images / 1e6:.3g} M"]


def test_an_option_without_a_recipe_is_one_line():
    found = CliRunner().invoke(transfusion, ["paper", "--seeds", "2"])
    assert found.exit_code != 0
    assert isinstance(found.exception, SpecError)
    assert "--seeds" in str(found.exception)


@pytest.mark.slow
def test_a_pace_is_of_whole_images_and_of_all_their_crops():
    train = TrainSpec(steps=10, batch_size=4, eval_every=5)
    run = RunSpec(task=TaskSpec(image_size=96), model="cbr_tiny_small", train=train)
    small, crops = (measured(each) for each in (run, run.with_values(train=train.with_values(ten_crop=96))))
    assert min(small.image_s, small.eval_s) > 0 <= small.step_s
    assert 3 < crops.eval_s / small.eval_s < 30
    large = measured(run.with_values(task=TaskSpec(image_size=960)))
    assert 30 < large.eval_s / small.eval_s < 300
    assert StepCost(1.0, 0.1, 0.01).run_s(run, 100) == pytest.approx(10 * 1.4 + 3 * 100 * 0.01)


LABELS = ("dark", "bright")


@pytest.fixture
def pictures(tmp_path, request):
    """Bright and dark squares, 40 to train on and 20 to test on."""
    draw = np.random.default_rng(0)
    for split, num in (("train", 20), ("test", 10)):
        for label, level in zip(getattr(request, "param", LABELS), (60, 180), strict=True):
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
    for name, why in (("chest", "none of the 14 findings.*bright, dark"), ("cifar", "holds none of")):
        with pytest.raises(SpecError, match=why):
            Replication(name, choices, tmp_path / "out").begin()
    assert not (tmp_path / "out" / "recipe.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [("NORMAL", "PNEUMONIA")], indirect=True)
def test_two_classes_test_the_claims_on_their_disease_alone(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("transfusion.paper.grids.MINI", TrainSpec(lr=1e-3, steps=4, batch_size=8, eval_every=2))
    donor = tmp_path / "donor.safetensors"
    write_tensors(donor, models.build("cbr_tiny_small", 5).state_dict())
    out = tmp_path / "out"
    options = ["--data", str(pictures), "--mini", "--seeds", "2", "--model", "cbr_tiny_small", "--image-size", "32"]
    command = ["paper", "chest", *options, "--donor", f"file:{donor}", "--out", str(out), "--workers", "0"]
    assert CliRunner().invoke(transfusion, command, catch_exceptions=False).exit_code == 0
    claims = pd.read_csv(out / "claims.csv").set_index("id")
    assert set(claims.loc[["D2", "D3", "D4"], "outcome"]) == {"not testable here"}
    assert set(claims.loc[["D1", "D6"], "outcome"]) <= {"replicated", "contradicted", "cannot tell"}
    assert claims.loc["D1", "n"] == 2
    page = (out / "replication.html").read_text()
    assert 'id="figure-F6"' in page


@pytest.mark.slow
def test_the_donor_that_a_recipe_trains_is_on_its_page(tmp_path):
    draw = np.random.default_rng(0)
    for name, num_classes in (("cifar10_subset", 4), ("cifar100_subset", 5)):
        arrays = {}
        for split, num in (("train", 40), ("test", 20)):
            arrays[f"{split}_labels"] = np.arange(num) % num_classes
            arrays[f"{split}_images"] = draw.integers(0, 256, (num, 32, 32, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", **arrays)
    out = tmp_path / "out"
    options = ["--data", str(tmp_path), "--mini", "--seeds", "2", "--model", "cbr_tiny_small", "--workers", "0"]
    found = CliRunner().invoke(transfusion, ["paper", "cifar", *options, "--out", str(out)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    page = (out / "replication.html").read_text()
    donor = Replication("cifar", Choices(tmp_path, mini=True, seeds=2, model="cbr_tiny_small"), out)
    run = donor.studies["t4"].store.donor_run()
    assert 'id="donor-t4"' in page
    assert {f"donor-{run.id}.svg", *(f"donor-{run.id}-{what}.svg" for what in ("filters", "along"))} <= {
        path.name for path in (out / "figures").iterdir()
    }
    assert f"{run.curve()[-1]['accuracy']:.4f}" in page
    claims = pd.read_csv(out / "claims.csv").set_index("id")
    assert claims.loc["E1", "outcome"] == "not run"  # a tenth of the data says nothing of the rest


@pytest.mark.slow
def test_a_recipe_runs_once_and_judges_every_claim(tmp_path, pictures):
    donor = tmp_path / "donor.safetensors"
    write_tensors(donor, models.build("cbr_tiny_small", 5).state_dict())
    out = tmp_path / "out"
    options = ["--data", str(pictures), "--mini", "--seeds", "1", "--model", "cbr_tiny_small", "--image-size", "32"]
    command = ["paper", "fundus", *options, "--donor", f"file:{donor}", "--out", str(out), "--workers", "0"]
    runner = CliRunner()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfusion.paper.grids.MINI", TrainSpec(lr=1e-3, steps=4, batch_size=8, eval_every=2))
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


def test_claims_over_all_settings_read_the_other_recipes_beside_a_folder_of_any_name(tmp_path):
    for folder, recipe in (("xray", "chest"), ("paper-chest", "chest"), ("paper-cifar", "cifar")):
        (tmp_path / folder).mkdir()
        write_json(tmp_path / folder / MEMORY, {"recipe": recipe})
    assert neighbours(tmp_path / "xray") == [tmp_path / "paper-cifar"]
