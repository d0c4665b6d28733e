"""A study of one run that takes a fraction of a second, and the bits that it ends with."""

from transfusion.runs.machine import Machine
from transfusion.spec import StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study

SPEC = StudySpec(
    task=TaskSpec(data="embedded:fundus", image_size=16, num_images=(16, 4, 12)),
    model="cbr_tiny_small",
    schemes=("random",),
    seeds=(0,),
    train=TrainSpec(steps=4, batch_size=4, eval_every=2, precision="float32"),
)
MACHINE = Machine(accelerator="cpu", threads=1, checkpoint_s=0.0)
CALLS = ("os.fsync", "os.replace", "os.mkdir", "os.open", "os.unlink", "os.posix_fallocate", "io.open")


def carry_out(folder):
    study = Study(SPEC, folder / "study", cache=folder / "cache")
    outcome = study.run(workers=0, progress=False, machine=MACHINE)
    return study, outcome


def bits(study):
    files = study.store.grid()[0]
    curve = [{key: value for key, value in row.items() if key != "time_s"} for row in files.curve()]
    return curve, {path.name: path.read_bytes() for path in files.folder.rglob("*.safetensors")}


def litter(folder):
    """What killed or failed writers left."""
    return [*(folder / "study").rglob(".*~"), *(folder / "study").rglob("checkpoint*")]
