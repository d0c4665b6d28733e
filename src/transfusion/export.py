"""A finished run for use elsewhere: its weights as other libraries load them, with class names and input format."""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import torchvision
from torch import nn

from transfusion.errors import SpecError, StoreError, UnknownNameError
from transfusion.files import lacks_memory, reading, write_atomically, write_text
from transfusion.metrics import judging
from transfusion.networks import models
from transfusion.runs.run_files import RunFiles
from transfusion.runs.store import Store, run_around
from transfusion.runs.tensors import read_tensors, write_weights
from transfusion.spec import Normalization, RunSpec

Format = Literal["torchvision", "timm", "hf", "onnx"]
TOLERANCE = 1e-4  # of logits, between libraries


@dataclass(frozen=True)
class Trained:
    """A finished run, as others use it.

    Attributes:
        network: on the CPU, for inference.
        classes: in the order of the outputs.
        kind: of task; outputs of ``multilabel`` are for sigmoids, all others for a softmax.
        step: of its training that the weights are of: the one that the validation split picks, or the last.
        why: it was chosen, in words.
    """

    run: RunSpec
    network: nn.Module
    classes: tuple[str, ...]
    kind: str
    step: int
    why: str = "as asked for"

    @property
    def normalization(self) -> Normalization:
        """What images are normalised by."""
        assert isinstance(self.run.task.normalize, Normalization)  # settled by the plan
        return self.run.task.normalize

    @property
    def channels(self) -> int:
        """Of an image."""
        return self.run.task.channels or 3

    @property
    def image_size(self) -> int:
        """Side in pixels of what the network sees."""
        return self.run.train.side(self.resized_to)

    @property
    def resized_to(self) -> int:
        """Pixels of the shorter side of an image, before its centre is cut out."""
        assert self.run.task.image_size  # settled by the plan
        return self.run.task.image_size

    @property
    def about(self) -> dict[str, Any]:
        """What a user of the weights must know, as JSON holds it."""
        return {
            "run": self.run.id,
            "label": self.run.label,
            "step": self.step,
            "chosen": self.why,
            "model": self.run.model,
            "classes": list(self.classes),
            "task": self.kind,
            "outputs": "logits: " + ("sigmoid each" if self.kind == "multilabel" else "softmax over all"),
            "input": {
                "shape": ["batch", self.channels, self.image_size, self.image_size],
                "resize": f"shorter side to {self.resized_to}, centre crop of {self.image_size}, antialiased",
                "interpolation": self.run.task.interpolation or "bilinear",
                "range": "0 to 1, then (image - mean) / std by channel",
                "mean": list(self.normalization.mean),
                "std": list(self.normalization.std),
            },
        }

    def probe(self) -> torch.Tensor:
        """Two normalised images of noise, which outputs are compared on."""
        shape = (2, self.channels, self.image_size, self.image_size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def find(path: Path) -> Trained:
    """A run by its folder, or the best one of a study by its validation split.

    Args:
        path: of a run's folder or of a study's.

    Raises:
        StoreError: if there is no finished run, or its weights are gone.
        SpecError: if a study has no validation split to choose by.
    """
    store = Store(path)
    if store.exists:
        files, why = _best(store)
    else:
        found = run_around(path)
        if found is None:
            raise StoreError(f"{path} is neither a study nor a run. Give the folder of one, as in studies/S/runs/ID.")
        files, why, store = found, "named", Store(path.absolute().parents[1])
    if files.state != "done" or not files.after_path.exists():
        raise StoreError(f"{files.no_weights} Name another run.")
    return _read(files, store, why)


def _best(store: Store) -> tuple[RunFiles, str]:
    """The finished run that is best on the validation split, and how it was chosen."""
    card, done = store.card(), [files for files in store.grid() if files.state == "done"]
    if not done:
        raise StoreError(f"No run of {store.folder} is finished.")
    metric = judging(store.spec().metric, tuple(next(iter(card.get("classes", {}).values()), ())))
    judged = {files: value for files in done if (value := _judged(files, metric.picked_by)) is not None}
    if not judged:
        raise SpecError(
            f"{store.folder} has no validation split to choose a run by, and choosing by test images would be "
            f"optimistic. Name a run ({store.folder}/runs/ID), or cut such a split (--set task.val_fraction=0.1)."
        )
    # NaN, of a validation split without both classes, compares as neither more nor less: it must not be picked
    best = max(judged, key=lambda files: judged[files] if math.isfinite(judged[files]) else -math.inf)
    return best, f"best of {len(judged)} by {metric.picked_by} at step {best.final_weights()[1]}: {judged[best]:.4f}"


def _judged(files: RunFiles, column: str) -> float | None:
    """What the validation split says of the weights that would be exported."""
    step = files.final_weights()[1]
    return next((row.get(column) for row in files.curve() if row["step"] == step), None)


def _read(files: RunFiles, store: Store, why: str) -> Trained:
    path, step = files.final_weights()
    run, card, weights = files.spec(), store.card(), read_tensors(path)
    classes = tuple(next(iter(card.get("classes", {}).values()), ()))
    if not classes:
        raise StoreError(
            f"{store.card_path} has no names of classes. Run the same study command again: it writes them."
        )
    side = run.train.side(run.task.image_size or 224)
    network = models.build(run.model, len(classes), run.task.channels or 3, side)
    network.load_state_dict(weights)
    return Trained(run, network.eval(), classes, card["kind"], step, why)


def export(trained: Trained, to: str, folder: Path) -> list[str]:
    """Write a run into a folder as another library loads it.

    Args:
        trained: see ``find``.
        to: ``torchvision``, ``timm``, ``hf`` (Hugging Face's transformers, which load timm's folders) or ``onnx``.
        folder: made if need be.

    Returns:
        Lines of Python that load it.

    Raises:
        UnknownNameError: no such format.
        SpecError: if that library has no such network, or a package is missing.
    """
    if to not in get_args(Format):
        raise UnknownNameError.of("format", to, get_args(Format))
    described = folder / "export.json"
    described.unlink(missing_ok=True)  # written last: whatever is cut off, no weights lie beside another run's words
    lines = WRITERS[to](trained, folder)
    about = {**trained.about, "load": lines}
    write_text(described, json.dumps(about, indent=2) + "\n")
    return lines


def _to_torchvision(trained: Trained, folder: Path) -> list[str]:
    name = trained.run.model.removeprefix("torchvision:")
    network: nn.Module | None = None
    if name in torchvision.models.list_models(module=torchvision.models):
        options = {"num_classes": len(trained.classes)}
        network = _like(trained, lambda: torchvision.models.get_model(name, weights=None, **options))
    if network is None:
        raise SpecError(
            f"torchvision has no {trained.run.model} for images of {trained.channels} channels and "
            f"{trained.image_size} px. Try --to timm or --to onnx."
        )
    write_weights(folder / "model.pth", network.state_dict())
    return [
        "import torch, torchvision",
        f"model = torchvision.models.get_model({name!r}, weights=None, num_classes={len(trained.classes)})",
        f"model.load_state_dict(torch.load({str(folder / 'model.pth')!r}, weights_only=True))",
    ]


def _to_timm(trained: Trained, folder: Path) -> list[str]:
    _write_timm(trained, folder)
    return ["import timm", f"model = timm.create_model({'local-dir:' + str(folder.absolute())!r}, pretrained=True)"]


def _to_hf(trained: Trained, folder: Path) -> list[str]:
    _write_timm(trained, folder)
    return [
        "from transformers import AutoImageProcessor, AutoModelForImageClassification",
        f"model = AutoModelForImageClassification.from_pretrained({str(folder)!r})",
        f"processor = AutoImageProcessor.from_pretrained({str(folder)!r})",
    ]


def _write_timm(trained: Trained, folder: Path) -> None:
    """A folder as timm's hub has it: ``config.json`` and ``model.safetensors``."""
    network, arguments = _timm_network(trained)
    known: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
    told, size = trained.about["input"], trained.image_size
    config = {
        "architecture": _bare(trained),
        "num_classes": len(trained.classes),
        "num_features": network.num_features,
        "label_names": list(trained.classes),
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [trained.channels, size, size],
            "interpolation": told["interpolation"],
            "crop_pct": size / trained.resized_to,
            "crop_mode": "center",
            "mean": told["mean"],
            "std": told["std"],
            "num_classes": len(trained.classes),
            "first_conv": known.get("first_conv"),
            "classifier": known.get("classifier"),
        },
    }
    (folder / "config.json").unlink(missing_ok=True)
    write_weights(folder / "model.safetensors", network.state_dict())
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


def _timm_network(trained: Trained) -> tuple[nn.Module, dict[str, Any]]:
    """The network of the same name in timm with the run's weights, and what it takes to build it."""
    import timm

    name, num = _bare(trained), len(trained.classes)
    channels: dict[str, Any] = {"in_chans": trained.channels} if trained.channels != 3 else {}
    # the size only where it is needed: most of timm's networks take any, and refuse the argument
    for arguments in (channels, {**channels, "img_size": trained.image_size}) if timm.is_model(name) else ():
        if network := _like(trained, partial(timm.create_model, name, num_classes=num, **arguments)):
            return network, arguments
    raise SpecError(f"timm has no network that takes the weights of {trained.run.model}. Try --to onnx.")


def _bare(trained: Trained) -> str:
    """The network's name without its library's."""
    return trained.run.model.partition(":")[2] or trained.run.model


def _like(trained: Trained, build: Callable[[], nn.Module]) -> nn.Module | None:
    """Another library's network with the run's weights, if it takes them and computes the same."""
    # names and shapes that fit are no proof: libraries differ in paddings and activations, which outputs show
    try:
        network = build()
        network.load_state_dict(trained.network.state_dict())
        with torch.inference_mode():
            theirs, ours = network.eval()(trained.probe()), trained.network(trained.probe())
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        if lacks_memory(error):
            raise MemoryError(f"building {trained.run.model} for another library") from error
        return None
    return network if torch.allclose(theirs, ours, atol=TOLERANCE) else None


def _to_onnx(trained: Trained, folder: Path) -> list[str]:
    try:
        import onnx
        import onnxscript  # noqa: F401 - what torch exports by
    except ImportError as error:
        raise SpecError(f"--to onnx needs {error.name}: pip install 'weight-transfusion[export]'.") from error
    path = folder / "model.onnx"
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), reading(trained.run.model, TRY, SpecError):
        warnings.simplefilter("ignore")  # torch's, of its own parts
        program = torch.onnx.export(
            trained.network,
            (trained.probe(),),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        assert program is not None
        made = program.model_proto
    onnx.helper.set_model_props(made, {key: json.dumps(value) for key, value in trained.about.items()})
    write_atomically(path, lambda temporary: temporary.write_bytes(made.SerializeToString()))
    return [
        "import onnxruntime",
        f"session = onnxruntime.InferenceSession({str(path)!r})",
        "logits = session.run(None, {'images': images})[0]  # float32, normalised",
    ]


TRY = "Another format may do."
WRITERS: dict[str, Callable[[Trained, Path], list[str]]] = {
    "torchvision": _to_torchvision,
    "timm": _to_timm,
    "hf": _to_hf,
    "onnx": _to_onnx,
}
