import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from transfusion.errors import StoreError
from transfusion.files import write_atomically
from transfusion.runs.frames import tidy
from transfusion.runs.store import RunFiles, Store, write_tensors
from transfusion.runs.tensors import read_tensors
from transfusion.spec import RunSpec, StudySpec, TaskSpec

RUN = RunSpec(task=TaskSpec(), model="m", seed=3)


@pytest.fixture
def files(tmp_path) -> RunFiles:
    files = Store(tmp_path / "study").run(RUN.id)
    files.begin(RUN, {"threads": 1})
    return files


def test_a_write_that_dies_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def die(temporary):
        temporary.write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_atomically(path, die)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="Cannot write .*choose another --out"):
        write_atomically(tmp_path / "file" / "x", lambda path: path.write_text(""))


def test_tensors_that_share_memory_or_are_strided_are_written(tmp_path):
    base = torch.randn(4, 6)
    tensors = {
        "a": base,
        "tied": base,
        "strided": base.t(),
        "last": torch.randn(1, 3, 2, 2).to(memory_format=torch.channels_last),
    }
    write_tensors(tmp_path / "w.safetensors", tensors)
    back = load_file(tmp_path / "w.safetensors")
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())


def test_a_torn_last_line_is_dropped_and_overwritten(files):
    for step in (0, 10, 20):
        files.append({"step": step, "auc": 0.5 + step / 100})
    text = files.curve_path.read_text()
    for cut in range(1, len(text.splitlines()[-1]) + 1):
        files.curve_path.write_text(text[: -1 - cut])
        assert [row["step"] for row in files.curve()] == [0, 10]
    files.rewind(10)
    files.append({"step": 20, "auc": 0.7})
    assert files.curve_path.read_text() == text


def test_rewind_drops_what_came_after_the_checkpoint(files):
    for step in (0, 10, 20):
        files.append({"step": step})
    files.rewind(10)
    assert [row["step"] for row in files.curve()] == [0, 10]


def test_nan_survives_as_null(files):
    files.append({"step": 0, "loss": 1.0, "auc": math.nan})
    assert "NaN" not in files.curve_path.read_text()
    assert math.isnan(tidy([files])["auc"].iloc[0])


def test_the_states_of_a_run(tmp_path):
    files = Store(tmp_path).run(RUN.id)
    assert files.state == "new"
    assert files.wanted
    files.begin(RUN, {})
    assert files.state == "started"
    files.fail("out of memory", "Traceback ...", retry=True)
    assert (files.state, files.wanted) == ("failed", True)
    files.fail("diverged", "Traceback ...", retry=False)
    assert (files.state, files.wanted) == ("failed", False)
    files.begin(RUN, {})
    files.save_checkpoint({"step": 1})
    files.finish({"auc": 1.0})
    assert (files.state, files.wanted) == ("done", False)
    assert not files.checkpoint_path.exists()


def test_only_one_holder_of_a_run(files):
    with files.claim() as first:
        assert first
        with RunFiles(files.folder).claim() as second:
            assert not second
    with files.claim() as again:
        assert again


def test_predictions_round_trip(files):
    scores, labels = np.random.default_rng(0).random((5, 2), dtype=np.float32), np.array([0, 1, 1, 0, 1])
    files.save_predictions(scores, labels)
    back = files.predictions()
    assert np.array_equal(back[0], scores)
    assert np.array_equal(back[1], labels)


def test_scores_on_the_validation_split_are_kept_beside_those_of_the_same_network(files):
    scores, labels = np.random.default_rng(0).random((5, 2)), np.array([0, 1, 1, 0, 1])
    files.save_predictions(scores, labels)
    assert files.validation() is None
    files.save_predictions(scores, labels, None, (scores[:2] / 2, labels[:2]), picked=True)
    files.save_predictions(scores, labels, None, (scores[2:], labels[2:]))
    kept = files.validation()
    assert np.array_equal(kept[0], scores[:2] / 2)
    assert np.array_equal(kept[1], labels[:2])


def test_the_frame_has_one_row_per_run_and_evaluation(files):
    files.append({"step": 0, "loss": 0.7, "auc": 0.5, "auprc": 0.4, "train_loss": math.nan, "time_s": 1.0})
    files.append({"step": 5, "loss": 0.6, "auc": 0.6, "auprc": 0.5, "train_loss": 0.65, "time_s": 2.0})
    frame = tidy([files])
    assert list(frame.columns[:12]) == "run start scheme batch_norm upto rest head size seed step loss auc".split()
    assert frame["step"].tolist() == [0, 5]
    assert set(frame["run"]) == {RUN.id}
    assert frame["size"].isna().all()


def test_the_frame_of_nothing_has_its_columns(tmp_path):
    assert list(tidy([]).columns) == "run start scheme batch_norm upto rest head size seed step loss auc".split()


def test_a_run_is_found_by_the_start_of_its_id_here_or_in_a_study_beside(tmp_path):
    store, other = Store(tmp_path / "a"), Store(tmp_path / "b")
    files = other.run(RUN.id)
    write_tensors(files.after_path, {"w": torch.ones(1)})
    assert store.find_run(RUN.id[:6]) == files.after_path
    with pytest.raises(StoreError, match="No finished run starts with 'zz'"):
        store.find_run("zz")


def test_a_folder_without_a_study_says_so(tmp_path):
    with pytest.raises(StoreError, match="There is no study in"):
        Store(tmp_path).spec()


def test_a_grid_can_grow_and_old_runs_stay(tmp_path):
    store, later = Store(tmp_path), RUN.with_values(seed=4)
    store.begin(StudySpec(), [RUN], None, {"images": 3})
    store.begin(StudySpec(), [RUN, later], None, {"images": 3})
    assert [files.id for files in store.grid()] == [RUN.id, later.id]
    assert store.card() == {"images": 3}
    assert store.run(RUN.id).spec() == RUN


def of_data(name, fingerprint, **values):
    """A study of some data, and the task of its runs."""
    task = TaskSpec(data=name, **values)
    return StudySpec(task=task), RUN.with_values(task=task.with_values(fingerprint=fingerprint))


def test_a_study_of_other_data_never_replaces_one(tmp_path):
    store = Store(tmp_path)
    first, run = of_data("a/pets", "one")
    store.begin(first, [run], None, {})
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    second, other = of_data("b/pets", "two")
    with pytest.raises(StoreError, match="holds a study of other data, a/pets.*--out"):
        store.begin(second, [other], None, {})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_data_that_changed_in_their_place_are_told_with_the_choice(tmp_path):
    store = Store(tmp_path)
    study, run = of_data("pets", "one")
    store.begin(study, [run], None, {})
    study, run = of_data("./pets", "two")
    with pytest.raises(StoreError, match="no longer those .*Restore .*--out"):
        store.begin(study, [run], None, {})
    assert store.grid()[0].spec().task.fingerprint == "one"


def test_data_that_moved_and_settings_that_change_are_the_same_study(tmp_path):
    store = Store(tmp_path)
    for study, run in (of_data("pets", "one"), of_data("moved", "one"), of_data("moved", "two", image_size=32)):
        store.begin(study, [run], None, {})
        assert [files.id for files in store.grid()] == [run.id]


def test_too_little_memory_is_no_damage_of_what_is_read(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    write_tensors(path, {"w": torch.zeros(3)})

    def fail(_):
        raise RuntimeError("unable to mmap 12 bytes from file: Cannot allocate memory (12)")

    monkeypatch.setattr("transfusion.runs.tensors.load_file", fail)
    with pytest.raises(MemoryError):
        read_tensors(path)
