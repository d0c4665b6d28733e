"""Images come to every network of a study as the donor was trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

from transfusion import tasks
from transfusion.errors import DonorError, DonorMismatchError
from transfusion.networks.donors import InputFormat
from transfusion.networks.models import build
from transfusion.runs.batches import Batches
from transfusion.runs.inputs import let_see
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job, initial_weights
from transfusion.spec import DonorRunSpec, Normalization, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study
from transfusion.tasks.load import IMAGENET

pytestmark = pytest.mark.training

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
    assert sum("three equal ones" in note for note in three.notes) == 1
    one = study("one", {"channels": 1}, model="squeezenet1_0", donor=donor).plan()
    assert one.card["normalization"]["mean"] == pytest.approx([0.4488], abs=1e-4)
    asked = study("asked", {"channels": 3}, model="squeezenet1_0", donor=donor).plan()
    assert not any("three equal ones" in note for note in (*one.notes, *asked.notes))
    assert [run.id for run in asked.grid] == [run.id for run in three.grid]


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
    with pytest.raises(DonorMismatchError, match="takes images of 1 channel"):
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


TIMMS = ("timm:resnet10t", "timm:mobilenetv3_small_050", "timm:vit_tiny_patch16_224")


@pytest.mark.parametrize("name", ["torchvision:googlenet", LITE, *TIMMS])
def test_features_are_those_of_the_donors_own_network(study, name: str, pictures: Path, tmp_path: Path) -> None:
    """From the picture on disk to the features, as its library would do it with these weights: a difference of 0."""
    library, _, bare = name.partition(":")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if library == "timm":
            own = timm.create_model(bare)
            mean, std, way = own.pretrained_cfg["mean"], own.pretrained_cfg["std"], own.pretrained_cfg["interpolation"]
        else:
            own = torchvision.models.googlenet(init_weights=True, aux_logits=False, transform_input=True)
            preset = torchvision.models.GoogLeNet_Weights.DEFAULT.transforms()
            mean, std, way = preset.mean, preset.std, preset.interpolation.value
    save_file({n: t.clone() for n, t in own.state_dict().items()}, tmp_path / "own.safetensors")
    size = 224 if "vit" in name else 64
    a_study = study(task={"image_size": size}, model=name, donor=f"file:{tmp_path / 'own.safetensors'}")
    run = next(run for run in a_study.plan().grid if run.scheme.name == "pretrained")
    task = tasks.load(run.task, cache=a_study.cache)
    ours = build(name, 2, task.channels, task.image_size)
    a_study.store.keep_donor(*a_study.plan().donor)
    initial_weights(Job(run, a_study.store.folder, Machine()), ours)
    batches = Batches(task, task.splits["test"], None, torch.device("cpu"))
    seen = batches.normalise(batches.get(np.arange(2))[0]).contiguous()
    opened = [Image.open(pictures / file).convert("RGB") for file in task.splits["test"].names[:2]]
    scaled = [np.array(image.resize((size, size), Image.Resampling[way.upper()])) for image in opened]
    right = torch.from_numpy(np.stack(scaled)).permute(0, 3, 1, 2).float() / 255
    right = (right - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    with torch.inference_mode():
        difference = (features(ours, seen) - features(own, right.contiguous())).abs().max()
    assert difference == 0


def features(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    if hasattr(network, "forward_features"):
        return network.eval().forward_features(images)
    network.fc = torch.nn.Identity()
    return network.eval()(images)


def test_the_real_batch_norm_donor(study, real_data: Path) -> None:
    donor = f"file:{real_data / 'tf_efficientnet_lite0-imagenet1k.safetensors'}"
    plan = study(model=LITE, donor=donor).plan()
    assert (plan.card["normalization"]["mean"], plan.card["normalization"]["interpolation"]) == ([0.5] * 3, "bicubic")


def test_values_that_are_not_finite_stop_the_plan(study, tmp_path: Path) -> None:
    state = build("cbr_tiny_small", 2).state_dict()
    state["block2.0.weight"].view(-1)[:3] = float("nan")
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(DonorError, match=r"block2\.0\.weight has 3 values that are not finite"):
        study(model="cbr_tiny_small", donor=f"file:{tmp_path / 'nan.safetensors'}").plan()


def test_the_same_weights_in_another_container_are_the_same_runs(study, tmp_path: Path) -> None:
    state = build("cbr_tiny_small", 2).state_dict()
    save_file(state, tmp_path / "plain.safetensors")
    wrapped = {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "opt": [state]}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    ids = [
        [run.id for run in study(file, model="cbr_tiny_small", donor=f"file:{tmp_path / file}").plan().grid]
        for file in ("plain.safetensors", "wrapped.pth")
    ]
    assert ids[0] == ids[1]


def test_what_was_taken_is_told_before_anything_runs(study, tmp_path: Path) -> None:
    state = build("cbr_tiny_small", 2).state_dict()
    both = {"model": state, "model_ema": {name: tensor + 1 for name, tensor in state.items()}}
    torch.save(both, tmp_path / "both.pth")
    plan = study(model="cbr_tiny_small", donor=f"file:{tmp_path / 'both.pth'}").plan()
    assert any("'model_ema' is taken, not 'model'" in note for note in plan.notes)
    assert plan.card["notes"] == list(plan.notes)


def test_data_json_keeps_it(study, weights) -> None:
    a_study = study(model="cbr_tiny_small", schemes=("random",))
    assert a_study.run(workers=0, progress=False).failed == {}
    assert json.loads(a_study.store.card_path.read_text())["normalization"]["from"] == "task"


def test_a_network_sees_a_task_of_another_format_as_its_own(study) -> None:
    a_study = study(model="squeezenet1_0", schemes=("random",), task={"channels": 3})
    task = tasks.load(a_study.plan().grid[0].task, cache=a_study.cache)
    network = torch.nn.Sequential(torch.nn.Identity())
    let_see(network, task, InputFormat(IMAGENET.mean, IMAGENET.std, "bilinear", "somewhere"))
    image = torch.rand(2, 3, 4, 4)
    mean, std, own_mean, own_std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET.mean, IMAGENET.std, task.mean, task.std)
    )
    torch.testing.assert_close(network((image - own_mean) / own_std), (image - mean) / std)
