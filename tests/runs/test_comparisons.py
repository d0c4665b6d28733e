from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from transfusion import tasks
from transfusion.errors import InputError, UnknownNameError
from transfusion.networks import models
from transfusion.report import opening
from transfusion.report import representations as section
from transfusion.report.material import Material
from transfusion.report.opening import name_of
from transfusion.report.page import write_page
from transfusion.report.parts import Picture
from transfusion.runs import comparisons as representations
from transfusion.runs import maps
from transfusion.runs.frames import similarity
from transfusion.runs.machine import Machine
from transfusion.runs.store import write_tensors
from transfusion.spec import RepresentationSpec, RunSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

pytestmark = pytest.mark.training

FUNDUS = TaskSpec(data="embedded:fundus", image_size=32, num_images=(40, 8, 40))
SETTINGS = RepresentationSpec(images=32, positions=8, measures=("cca", "linear_cka"))


def make(folder, cache, **values):
    spec = {
        "task": FUNDUS,
        "model": "cbr_tiny_small",
        "schemes": ("kaiming", "random"),
        "seeds": (0, 1),
        "train": TrainSpec(steps=8, batch_size=8, eval_every=4, precision="float32"),
        "representations": SETTINGS,
        **values,
    }
    study = Study(StudySpec(**spec), folder, cache=cache)
    outcome = study.run(workers=0, progress=False, machine=Machine(accelerator="cpu", threads=1))
    return study, outcome


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def study(tmp_path_factory, cache):
    return make(tmp_path_factory.mktemp("study"), cache)[0]


def test_every_unit_that_the_paper_asks_for_is_there(study):
    kinds = [unit.kind for unit in representations.units(study.store)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "grid": 2,
        "dynamics": 4,
        "seeds": 1,
        "untrained": 1,
        "across": 1,
        "activations": 1,
    }
    assert representations.missing(study.store) == []


def test_the_frame_has_every_pair_at_every_stage(study):
    frame = similarity(study.store)
    stages = frame["stage"].nunique()
    rows = frame[frame["measure"] == "cca"].groupby("kind").size().to_dict()
    expected = {"grid": 2 * 6, "dynamics": 4 * 4, "seeds": 6, "untrained": 6, "across": 6}
    assert rows == {kind: pairs * stages for kind, pairs in expected.items()}
    dynamics = frame[frame["kind"] == "dynamics"]
    assert sorted(dynamics["a_step"].unique()) == [0, 1, 2, 4]
    assert (dynamics["a_run"] == dynamics["b_run"]).all()
    assert (dynamics["b_step"] == 8).all()
    assert frame["value"].between(0, 1 + 1e-9).all()


@pytest.mark.parametrize(("seeds", "pairs"), [(1, 0), (2, 1), (3, 3), (5, 5)])
def test_seeds_are_paired_in_a_ring(monkeypatch, seeds, pairs):
    spec = RunSpec(task=FUNDUS, model="cbr_tiny_small")
    runs = [spec.model_copy(update={"seed": seed}) for seed in range(seeds)]
    kept = [(SimpleNamespace(id=run.id, has_weights=True, weights=lambda: {0: None, 8: None}), run) for run in runs]
    monkeypatch.setattr(representations, "finished", lambda store: kept)
    found = representations.units(None)
    for kind, step in (("seeds", spec.train.steps), ("untrained", 0)):
        units = [unit for unit in found if unit.kind == kind]
        assert len({frozenset(unit.weights) for unit in units}) == len(units) == pairs
        assert all(len({run for run, _ in unit.weights}) == 2 for unit in units)
        assert all(own == step for unit in units for _, own in unit.weights)
    seed_of, last = {run.id: run.seed for run in runs}, spec.train.steps
    across = [[(seed_of[run], step) for run, step in unit.weights] for unit in found if unit.kind == "across"]
    assert len(across) == pairs
    assert all(before != after and (first, end) == (0, last) for (before, first), (after, end) in across)
    if seeds > 2:
        assert sorted(before for (before, _), _ in across) == sorted(after for _, (after, _) in across)


def test_both_ways_to_the_same_number_agree(study):
    frame = similarity(study.store).query("a_run == b_run and a_step == 0 and b_step == 8 and stage == 'block1'")
    values = frame[frame["measure"] == "cca"].groupby("a_run")["value"]
    assert len(values) == 4
    assert np.allclose(values.min(), values.max(), atol=1e-9)


def test_networks_move_away_from_their_start_step_by_step(study):
    frame = similarity(study.store).query("kind == 'dynamics' and measure == 'cca' and stage == 'block1'")
    by_step = frame.groupby("a_step")["value"].mean()
    assert by_step[4] > by_step[0]


def test_two_pictures_of_different_labels_and_their_maps(study):
    (unit,) = (unit for unit in representations.units(study.store) if unit.kind == "activations")
    tensors = load_file(study.store.representation_path(unit.id, "safetensors"))
    assert tensors.pop("pictures").shape == (2, 32, 32, 3)
    assert set(tensors) == {f"{run} {step}" for run, step in unit.weights}
    assert all(maps.shape == (2, 8, 16, 16) for maps in tensors.values())


def test_nothing_is_done_twice_and_more_seeds_add_to_it(study, cache):
    again, outcome = make(study.store.folder, cache)
    stamps = {path: path.stat().st_mtime_ns for path in (study.store.folder / "representations").rglob("*")}
    assert (outcome.ran, outcome.unseen) == (0, [])
    more, _ = make(study.store.folder, cache, seeds=(0, 1, 2))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items() if path.is_file())
    assert representations.missing(more.store) == []
    assert len(similarity(more.store)) > len(stamps)
    assert again.store.folder == more.store.folder


def convolution(strong):
    """Twenty channels, of which those are the strongest."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 20, 3), nn.Flatten(), nn.Linear(20 * 30 * 30, 2))
    network[0].weight.data[strong] *= 9
    return network


def test_a_start_shows_the_same_channels_before_and_after():
    """Other channels are strongest before training than after it; both times the latter are shown."""
    images = representations.Probe(tasks.load(FUNDUS), "test", SETTINGS, Machine(accelerator="cpu", threads=1))
    networks = {
        ("run", 0): convolution(slice(8)),
        ("run", 8): convolution(slice(8, 16)),
        ("other", 0): convolution(slice(8)),
    }
    shown = maps.activations(networks, images, SETTINGS)
    assert set(shown) == {"pictures", "run 0", "run 8"}, "a start of which one network is lacking is left out"
    two = images.data.normalise(images.data.get(images.two())[0])
    before, after = (maps.maps_of(networks[name], two, SETTINGS) for name in (("run", 0), ("run", 8)))
    chosen = maps.strongest(after)
    assert sorted(chosen.tolist()) == list(range(8, 16))
    assert torch.equal(shown["run 0"], maps.small(before[:, chosen]))
    assert torch.equal(shown["run 8"], maps.small(after[:, chosen]))


def test_maps_that_overflow_are_refused():
    images = representations.Probe(tasks.load(FUNDUS), "test", SETTINGS, Machine(accelerator="cpu", threads=1))
    huge = convolution(slice(8))
    huge[0].weight.data[:8] = 3e38
    with pytest.raises(InputError, match="Stage '.*' gives NaN or infinite values"):
        maps.activations({("run", 0): convolution(slice(8)), ("run", 8): huge}, images, SETTINGS)


def test_no_map_overflows_half_precision():
    large = torch.tensor([[1e6, -3e5], [2e6, 0.0]]).expand(2, 3, 2, 2)
    small = maps.small(large)
    assert small.dtype == torch.float16
    assert small.isfinite().all()
    assert (small.amin((2, 3)) == 0).all()
    assert (small.amax((2, 3)) == 1).all()
    assert (maps.small(torch.full((2, 1, 4, 4), 7e7)) == 0).all()


def spoil(path):
    weights = load_file(path)
    next(tensor for tensor in weights.values() if tensor.is_floating_point()).view(-1)[0] = float("nan")
    write_tensors(path, weights)


def test_a_network_that_diverged_is_left_out_and_named_and_the_others_are_compared(tmp_path, cache):
    study, _ = make(tmp_path, cache, seeds=(0,), representations=None)
    bad, good = study.store.grid()
    spoil(bad.after_path)
    again, outcome = make(tmp_path, cache, seeds=(0,))
    assert outcome.unseen == []
    assert representations.missing(again.store) == []
    frame = similarity(again.store)
    assert not ((frame["a_run"] == bad.id) & (frame["a_step"] == 8)).any()
    assert not ((frame["b_run"] == bad.id) & (frame["b_step"] == 8)).any()
    grid = frame.query("kind == 'grid' and measure == 'cca'")
    assert set(zip(grid["a_run"], grid["b_run"], strict=True)) == {(bad.id, good.id), (good.id, good.id)}
    assert set(frame.query("kind == 'dynamics'")["b_run"]) == {good.id}
    material = Material(again.store)
    (note,) = (note for note in opening.notes(material) if "NaN" in note)
    assert note.endswith(f"as their weights hold NaN or infinite values: {name_of(bad)} at step 8.")
    assert [part.name for part in section.section(material).parts if isinstance(part, Picture)]
    page = write_page(again.store).read_text(encoding="utf-8")
    assert page.count("as their weights hold NaN or infinite values") == 2, "for comparisons, and for filters"


def test_a_study_of_which_every_network_diverged_has_nothing_to_compare(tmp_path, cache):
    study, _ = make(tmp_path, cache, seeds=(0,), schemes=("random",), representations=None)
    (only,) = study.store.grid()
    spoil(only.after_path)
    again, outcome = make(tmp_path, cache, seeds=(0,), schemes=("random",))
    assert outcome.unseen == representations.missing(again.store) == []
    assert similarity(again.store).empty
    assert section.section(Material(again.store)) is None
    assert [(files.id, step) for files, step in representations.not_finite(again.store)] == [(only.id, 8)]
    page = write_page(again.store).read_text(encoding="utf-8")
    assert page.count("as their weights hold NaN or infinite values") == 2, "for comparisons, and for filters"


def refuse(*_):
    raise InputError("No maps today.")


def test_what_cannot_be_compared_is_said_and_costs_nothing_else(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(representations, "activations", refuse)
    study, outcome = make(tmp_path, cache, seeds=(0,))
    assert outcome.unseen == ["No maps today."]
    assert [unit.kind for unit in representations.missing(study.store)] == ["activations"]
    assert len(similarity(study.store))


@pytest.mark.parametrize(("odd", "what"), [({"stage": "nowhere"}, "stage"), ({"measures": ("nowhere",)}, "measure")])
def test_names_that_do_not_exist_are_refused_before_anything_is_trained(tmp_path, cache, odd, what):
    with pytest.raises(UnknownNameError, match=f"no {what} 'nowhere'"):
        make(tmp_path, cache, representations=SETTINGS.with_values(**odd))
    assert not (tmp_path / "runs").exists()


def test_runs_without_weights_are_left_out_and_said(tmp_path, cache):
    study, _ = make(tmp_path, cache, seeds=(0,), representations=None)
    first, second = study.store.grid()
    first.after_path.unlink()
    again, outcome = make(tmp_path, cache, seeds=(0,))
    assert outcome.unseen == []
    assert {run for unit in representations.units(again.store) for run, _ in unit.weights} == {second.id}
    assert list(first.weights()) == [0]
    (note,) = (note for note in opening.notes(Material(again.store)) if "not kept" in note)
    assert note.startswith(f"Left out of the comparisons of networks, as their weights were not kept: {name_of(first)}")
    second.spec_path.write_text("{")
    assert representations.units(again.store) == []


def test_a_transformer_has_comparisons_but_no_maps(tmp_path, cache):
    study, outcome = make(tmp_path, cache, seeds=(0,), schemes=("random",), model="test_vit")
    assert outcome.unseen == []
    frame = similarity(study.store).query("kind == 'grid' and measure == 'cca'").set_index("stage")
    assert list(frame.index) == ["stem", *(f"block{k}" for k in range(1, 7)), "head"]
    assert frame["n"].drop("head").eq(32 * (1 + 4)).all(), "a class token and four patches"
    parts = section.section(Material(study.store)).parts
    (words,) = (part for part in parts if isinstance(part, str) and "tokens or vectors" in part)
    assert "activations of stem cannot be shown as pictures" in words
    assert not any(isinstance(part, Picture) and "activations" in part.name for part in parts)


def test_maps_with_channels_last_are_shown_by_channel():
    images = representations.Probe(tasks.load(FUNDUS), "test", SETTINGS, Machine(accelerator="cpu", threads=1))
    network = models.build("swin_t", num_outputs=5)
    shown = maps.activations({("run", 0): network, ("run", 8): network}, images, SETTINGS)
    assert [shown[name].shape for name in ("run 0", "run 8")] == [(2, 8, 8, 8)] * 2


def test_without_being_asked_nothing_is_kept(tmp_path, cache):
    study, _ = make(tmp_path, cache, seeds=(0,), schemes=("random",), representations=None)
    assert not (tmp_path / "representations").exists()
    assert list(study.store.grid()[0].weights()) == [0, 8]
    assert similarity(study.store).empty
