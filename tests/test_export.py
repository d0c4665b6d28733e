"""A trained network is loaded back by each library, and computes the same."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from transfusion import export
from transfusion.cli import transfusion
from transfusion.errors import SpecError, StoreError, UnknownNameError
from transfusion.runs.machine import Machine
from transfusion.runs.tensors import read_tensors
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

FUNDUS = TaskSpec(data="embedded:fundus", image_size=32, num_images=(24, 12, 12))
QUICK = TrainSpec(steps=2, batch_size=8, eval_every=1, precision="float32")


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes the study of a model, once."""
    made = {}

    def study(model, **values):
        key = repr((model, values))
        if key not in made:
            task = FUNDUS.with_values(**values.pop("task", {}))
            spec = {"task": task, "model": model, "schemes": ("default",), "seeds": (0,), "train": QUICK, **values}
            made[key] = Study(
                StudySpec(**spec), tmp_path_factory.mktemp(model), cache=tmp_path_factory.getbasetemp() / "c"
            )
            made[key].run(workers=0, progress=False, machine=Machine(accelerator="cpu", threads=1))
        return made[key]

    return study


def loaded(lines):
    names = {}
    exec("\n".join(lines), names)
    return names


def written(study, to, folder):
    trained = export.find(study.store.folder)
    lines = export.export(trained, to, folder)
    with torch.inference_mode():
        wanted = trained.network(trained.probe())
    return trained, lines, wanted


def test_torchvision_loads_it_back(make, tmp_path):
    trained, lines, wanted = written(make("resnet18"), "torchvision", tmp_path / "out")
    with torch.inference_mode():
        assert torch.equal(loaded(lines)["model"].eval()(trained.probe()), wanted)
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    assert about["classes"] == list(trained.classes)
    assert len(about["classes"]) == 5
    assert about["input"]["shape"] == ["batch", 3, 32, 32]
    assert about["input"]["mean"] == list(trained.normalization.mean)


@pytest.mark.parametrize("model", ["resnet18", "timm:resnet10t"])
def test_timm_loads_it_back_with_input_format_and_names(make, tmp_path, model):
    import timm

    trained, lines, wanted = written(make(model), "timm", tmp_path / "out")
    network = loaded(lines)["model"].eval()
    with torch.inference_mode():
        assert torch.allclose(network(trained.probe()), wanted, atol=1e-5)
    known = timm.data.resolve_data_config(model=network)
    assert tuple(known["input_size"]) == (3, 32, 32)
    assert known["mean"] == pytest.approx(trained.normalization.mean)
    assert known["crop_pct"] == 1.0
    assert tuple(network.pretrained_cfg["label_names"]) == trained.classes


def test_transformers_load_it_back_with_names_of_classes(make, tmp_path):
    pytest.importorskip("transformers", reason="no transformers")
    trained, lines, wanted = written(make("resnet18"), "hf", tmp_path / "out")
    names = loaded(lines)
    with torch.inference_mode():
        assert torch.allclose(names["model"].eval()(trained.probe()).logits, wanted, atol=1e-5)
    assert names["model"].config.id2label == dict(enumerate(trained.classes))
    shown = names["processor"](torch.zeros(3, 40, 40), return_tensors="pt")["pixel_values"]
    assert shown.shape == (1, 3, 32, 32)


@pytest.mark.parametrize("model", ["resnet18", "cbr_tiny_small"])
def test_onnx_runs_it_for_any_number_of_images_and_knows_the_classes(make, tmp_path, model):
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime")
    pytest.importorskip("onnxscript", reason="no onnxscript")
    trained, lines, wanted = written(make(model), "onnx", tmp_path / "out")
    session = loaded(lines[:2])["session"]
    images = trained.probe().numpy()
    assert session.run(None, {"images": images})[0] == pytest.approx(wanted.numpy(), abs=1e-4)
    three = np.concatenate([images, images[:1]])
    assert session.run(None, {"images": three})[0].shape == (3, 5)
    assert isinstance(session, runtime.InferenceSession)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(trained.classes)


def test_grey_images_keep_their_channel_in_timm_and_torchvision_has_no_such_network(make, tmp_path):
    study = make("resnet18", task={"channels": 1})
    trained, lines, wanted = written(study, "timm", tmp_path / "timm")
    with torch.inference_mode():
        assert torch.allclose(loaded(lines)["model"].eval()(trained.probe()), wanted, atol=1e-5)
    with pytest.raises(SpecError, match="torchvision has no resnet18 for images of 1 channels"):
        export.export(trained, "torchvision", tmp_path / "tv")
    assert not (tmp_path / "tv").exists()


@pytest.mark.parametrize("to", ["torchvision", "timm", "hf"])
def test_what_a_library_does_not_have_is_said(make, tmp_path, to):
    with pytest.raises(SpecError, match="has no .*cbr_tiny_small.*Try --to"):
        export.export(export.find(make("cbr_tiny_small").store.folder), to, tmp_path / "out")


def test_the_best_run_of_a_study_is_chosen_on_validation_images_alone(make, tmp_path):
    study = make("cbr_tiny_small", seeds=(0, 1, 2))
    by_validation = {files.id: max(row["val_auc"] for row in files.curve()) for files in study.store.grid()}
    trained = export.find(study.store.folder)
    assert by_validation[trained.run.id] == max(by_validation.values())
    picked = study.store.run(trained.run.id)
    assert trained.step == picked.final_step()
    kept = read_tensors(picked.picked_weights_path)
    assert all(torch.equal(kept[name], tensor) for name, tensor in trained.network.state_dict().items())
    assert "best of 3 by val_auc" in trained.why
    named = study.store.grid()[1]
    assert export.find(named.folder).run.id == named.id


def test_without_a_validation_split_a_run_must_be_named(make):
    study = make("cbr_tiny_small", task={"num_images": (24, 0, 12)})
    with pytest.raises(SpecError, match=r"no validation split to choose a run by.*runs/ID"):
        export.find(study.store.folder)
    assert export.find(study.store.grid()[0].folder).why == "named"


def test_what_is_no_finished_run_is_said(make, tmp_path):
    with pytest.raises(StoreError, match="neither a study nor a run"):
        export.find(tmp_path)
    with pytest.raises(UnknownNameError, match="no format 'tflite'"):
        export.export(export.find(make("cbr_tiny_small").store.folder), "tflite", tmp_path)
    planned = Study(make("cbr_tiny_small").spec, tmp_path / "s", cache=make("cbr_tiny_small").cache)
    planned.begin()
    with pytest.raises(StoreError, match="No run of .* is finished"):
        export.find(tmp_path / "s")
    with pytest.raises(StoreError, match="it is not finished. Name another run"):
        export.find(planned.store.grid()[0].folder)


def test_the_command_prints_how_to_load_it(make, tmp_path):
    pytest.importorskip("onnx")
    folder = make("cbr_tiny_small").store.folder
    told = CliRunner().invoke(transfusion, ["export", str(folder), "--to", "onnx", "--out", str(tmp_path / "o")])
    assert told.exit_code == 0, told.output
    assert "onnxruntime.InferenceSession" in told.stdout
    assert "best of 1 by val_auc" in told.stderr
