"""A study of one run on a few pictures that takes a second, and the bits that it ends with."""

import numpy as np
from PIL import Image

from transfusion.runs.machine import Machine
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

MACHINE = Machine(accelerator="cpu", threads=1, checkpoint_s=0.0)
CALLS = ("os.fsync", "os.replace", "os.mkdir", "os.open", "os.unlink", "os.posix_fallocate", "io.open")


def pictures(folder):
    """Noisy pictures of 16 pixels, in a folder for each of two classes."""
    draw = np.random.default_rng(0)
    for number in range(32):
        path = folder / ("dark", "light")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = draw.integers(0, 200, (16, 16, 3)) + 55 * (number % 2)
        Image.fromarray(values.astype(np.uint8)).save(path)
    return folder


def carry_out(data, folder, model="cbr_tiny_small"):
    """The study on pictures of a folder, in another one; what it read of them is kept there too."""
    spec = StudySpec(
        task=TaskSpec(data=str(data), test_fraction=0.4),
        model=model,
        schemes=("random",),
        seeds=(0,),
        train=TrainSpec(steps=4, batch_size=4, eval_every=2, precision="float32"),
    )
    study = Study(spec, folder / "study", cache=folder / "cache")
    outcome = study.run(workers=0, progress=False, machine=MACHINE)
    return study, outcome


def bits(study):
    files = study.store.grid()[0]
    curve = [{key: value for key, value in row.items() if key != "time_s"} for row in files.curve()]
    return curve, {path.name: path.read_bytes() for path in files.folder.rglob("*.safetensors")}


def litter(folder):
    """What killed or failed writers left."""
    return [*(folder / "study").rglob(".*~"), *(folder / "study").rglob("checkpoint*")]
