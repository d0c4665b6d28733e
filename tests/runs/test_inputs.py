"""Images come to every network of a study as the donor was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from transfusion.errors import DonorMismatchError
from transfusion.networks.models import build
from transfusion.spec import DonorRunSpec, Normalization, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study
from transfusion.tasks.load import IMAGENET

HALF = Normalization(mean=(0.5,) * 3, std=(0.5,) * 3)
LITE = "timm:tf_efficientnet_lite0"
QUICK = TrainSpec(steps=2, eval_every=1, batch_size=4)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of grey pictures of 20 px."""
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for row in range(12):
            Image.fromarray(draw.integers(0, 256, (20, 20)).astype(np.uint8)).save(
                tmp_path / "data" / name / f"{row}.png"
            )
    return tmp_path / "data"


@pytest.fixture
def study(pictures: Path, tmp_path: Path):
    def make(name: str = "study", task: dict[str, object] | None = None, **settings: object) -> Study:
        values = {"data": str(pictures), "image_size": 32, **(task or {})}
        spec = StudySpec(task=TaskSpec.parse(values), **{"seeds": (0,), "train": QUICK, **settings})
        return Study(spec, tmp_path / "studies" / name, cache=tmp_path / "cache")

    return make


@pytest.fixture
def weights(tmp_path: Path):
    def make(model: str, channels: int = 3) -> str:
        path = tmp_path / f"{model.replace(':', '-')}-{channels}.safetensors"
        save_file(build(model, 5, channels, 32).state_dict(), path)
        return f"file:{path}"

    return make


def test_a_file_has_the_format_of_its_models_published_weights(study, weights) -> None:
    plan = study(model=LITE, donor=weights(LITE)).plan()
    assert plan.card["normalization"] == {
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bicubic",
        "from": "timm:tf_efficientnet_lite0.in1k",
    }
    assert any(
        "does not say how its images were normalised" in note and "task.normalize" in note for note in plan.notes
    )
    assert plan.card["notes"] == list(plan.notes)
    assert {(run.task.normalize.mean, run.task.interpolation) for run in plan.grid} == {((0.5,) * 3, "bicubic")}
    assert {run.scheme.name for run in plan.grid} == {"pretrained", "mean_var", "random"}


def test_the_format_can_be_set(study, weights) -> None:
    donor = weights(LITE)
    card = (
        study("set", {"normalize": {"mean": [0.1], "std": [0.2]}, "interpolation": "box"}, model=LITE, donor=donor)
        .plan()
        .card
    )
    assert card["normalization"] == {
        "mean": [0.1] * 3,
        "std": [0.2] * 3,
        "interpolation": "box",
        "from": "settings",
    }
    usual = study("imagenet", {"normalize": "imagenet"}, model=LITE, donor=donor).plan().card["normalization"]
    assert (tuple(usual["mean"]), usual["interpolation"]) == (IMAGENET.mean, "bicubic")


def test_the_format_makes_other_runs_and_its_source_does_not(study, weights) -> None:
    donor = weights(LITE)
    by_donor, by_hand, other, scaled = (
        {run.id for run in study(str(number), task, model=LITE, donor=donor).plan().grid}
        for number, task in enumerate(
            (
                {},
                {"normalize": HALF.model_dump(), "interpolation": "bicubic"},
                {"normalize": "imagenet"},
                {"interpolation": "bilinear"},
            )
        )
    )
    assert by_donor == by_hand
    assert not by_donor & other
    assert not by_donor & scaled
    assert not other & scaled


def test_grey_pictures_get_the_donors_three_channels(study, weights) -> None:
    donor = weights("squeezenet1_0")
    three = study("three", model="squeezenet1_0", donor=donor).plan()
    assert {run.task.channels for run in three.grid} == {3}
    one = study("one", {"channels": 1}, model="squeezenet1_0", donor=donor).plan()
    assert one.card["normalization"]["mean"] == pytest.approx([0.4488], abs=1e-4)


def test_a_donor_of_grey_pictures_leaves_them_grey(study, weights) -> None:
    plan = study(model="squeezenet1_0", donor=weights("squeezenet1_0", channels=1)).plan()
    assert {run.task.channels for run in plan.grid} == {1}


def test_without_a_donor_the_task_has_its_own_format(study) -> None:
    plan = study(model="squeezenet1_0", schemes=("random", "kaiming")).plan()
    assert plan.card["normalization"]["from"] == "task"
    assert plan.notes == ()
    assert plan.grid[0].task.channels == 1


def test_a_model_without_published_weights(study, weights) -> None:
    plan = study(model="cbr_tiny_small", donor=weights("cbr_tiny_small")).plan()
    assert plan.card["normalization"]["from"] == "task"
    assert any("by the task's own mean" in note for note in plan.notes)


def test_a_donor_of_the_studys_own_gives_its_tasks_format(study) -> None:
    donor = DonorRunSpec(task=TaskSpec(data="embedded:natural", image_size=32, num_images=(32, 8, 16)), train=QUICK)
    plan = study(model="cbr_tiny_small", donor=donor).plan()
    natural = plan.donor_run.task.normalize
    assert natural.source == "task"
    assert plan.grid[0].task.normalize.mean == natural.mean
    assert plan.card["normalization"]["from"] == "the study's own donor"
    own = study("own", model="cbr_tiny_small", schemes=("random",)).plan()
    assert own.card["normalization"]["mean"] != list(natural.mean)


def test_a_grey_donor_of_the_studys_own_is_refused_for_colours(study, pictures: Path) -> None:
    donor = DonorRunSpec(task=TaskSpec(data=str(pictures), image_size=32), train=QUICK)
    coloured = {"data": "embedded:natural", "num_images": (32, 8, 16)}
    with pytest.raises(DonorMismatchError):
        study("coloured", coloured, model="cbr_tiny_small", donor=donor).plan()
    assert study("grey", {**coloured, "channels": 1}, model="cbr_tiny_small", donor=donor).plan().donor_run


@pytest.mark.parametrize("kind", ["run", "file"])
def test_a_run_gives_the_format_that_it_was_trained_with(study, kind: str, pictures: Path) -> None:
    first = study(
        "first",
        {"normalize": HALF.model_dump(), "interpolation": "box"},
        model="cbr_tiny_small",
        schemes=("random",),
        representations={},
    )
    assert first.run(workers=0, progress=False).failed == {}
    files = first.store.grid()[0]
    donor = f"run:{files.id}" if kind == "run" else f"file:{files.after_path}"
    for path in pictures.rglob("*.png"):  # another task, whose first look must not need the donor's data
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    plan = study("second", model="cbr_tiny_small", donor=donor, schemes=("pretrained", "random")).plan()
    assert plan.card["normalization"] == {
        "mean": [0.5],
        "std": [0.5],
        "interpolation": "box",
        "from": f"run:{files.id}",
    }
    assert not any("does not say" in note for note in plan.notes)


def test_the_network_sees_what_the_donor_saw(study, weights, pictures: Path) -> None:
    """The first batch of a study, as PIL and the donor's own transforms make it."""
    from transfusion import tasks
    from transfusion.runs.batches import Batches

    a_study = study(model=LITE, donor=weights(LITE))
    run = a_study.plan().grid[0]
    task = tasks.load(run.task, cache=a_study.cache)
    batches = Batches(task, task.splits["test"], None, torch.device("cpu"))
    images, _ = batches.get(np.arange(len(batches)))
    got = batches.normalise(images)
    for image, name in zip(got, task.splits["test"].names, strict=True):
        picture = Image.open(pictures / name).convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
        expected = (torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255 - 0.5) / 0.5
        assert torch.equal(image, expected), "to the bit, so features differ by 0"


def test_data_json_keeps_it(study, weights) -> None:
    a_study = study(model="cbr_tiny_small", schemes=("random",))
    assert a_study.run(workers=0, progress=False).failed == {}
    assert json.loads(a_study.store.card_path.read_text())["normalization"]["from"] == "task"


def test_a_network_sees_a_task_of_another_format_as_its_own(study) -> None:
    from transfusion import tasks
    from transfusion.networks.donors import InputFormat
    from transfusion.runs.inputs import let_see

    a_study = study(model="squeezenet1_0", schemes=("random",), task={"channels": 3})
    task = tasks.load(a_study.plan().grid[0].task, cache=a_study.cache)
    network = torch.nn.Sequential(torch.nn.Identity())
    let_see(network, task, InputFormat(IMAGENET.mean, IMAGENET.std, "bilinear", "somewhere"))
    image = torch.rand(2, 3, 4, 4)
    mean, std, own_mean, own_std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET.mean, IMAGENET.std, task.mean, task.std)
    )
    torch.testing.assert_close(network((image - own_mean) / own_std), (image - mean) / std)
