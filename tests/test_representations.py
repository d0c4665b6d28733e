import numpy as np
import pytest
from safetensors.torch import load_file

from transfusion import representations
from transfusion.errors import InputError, UnknownNameError
from transfusion.frames import similarity
from transfusion.machine import Machine
from transfusion.report import opening
from transfusion.report import representations as section
from transfusion.report.material import Material
from transfusion.report.opening import name_of
from transfusion.report.parts import Picture
from transfusion.spec import RepresentationSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

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
    assert {kind: kinds.count(kind) for kind in kinds} == {"grid": 2, "dynamics": 4, "seeds": 1, "activations": 1}
    assert representations.missing(study.store) == []


def test_the_frame_has_every_pair_at_every_stage(study):
    frame = similarity(study.store)
    stages = frame["stage"].nunique()
    rows = frame[frame["measure"] == "cca"].groupby("kind").size().to_dict()
    assert rows == {"grid": 2 * 6 * stages, "dynamics": 4 * 4 * stages, "seeds": 6 * stages}
    dynamics = frame[frame["kind"] == "dynamics"]
    assert sorted(dynamics["a_step"].unique()) == [0, 1, 2, 4]
    assert (dynamics["a_run"] == dynamics["b_run"]).all()
    assert (dynamics["b_step"] == 8).all()
    assert frame["value"].between(0, 1 + 1e-9).all()


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


def refuse(*_):
    raise InputError("No maps today.")


def test_what_cannot_be_compared_is_said_and_costs_nothing_else(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(representations, "_activations", refuse)
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
    assert "no pictures of what stem makes" in words
    assert not any(isinstance(part, Picture) and "activations" in part.name for part in parts)


def test_maps_with_channels_last_are_shown_by_channel(tmp_path, cache):
    study, _ = make(tmp_path, cache, seeds=(0,), schemes=("random",), model="swin_t")
    (unit,) = (unit for unit in representations.units(study.store) if unit.kind == "activations")
    tensors = load_file(study.store.representation_path(unit.id, "safetensors"))
    assert all(maps.shape == (2, 8, 8, 8) for name, maps in tensors.items() if name != "pictures")


def test_without_being_asked_nothing_is_kept(tmp_path, cache):
    study, _ = make(tmp_path, cache, seeds=(0,), schemes=("random",), representations=None)
    assert not (tmp_path / "representations").exists()
    assert list(study.store.grid()[0].weights()) == [0, 8]
    assert similarity(study.store).empty
