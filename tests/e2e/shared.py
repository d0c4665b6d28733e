"""A study that several workers share, and the same one in a single process: they must end in the same bits."""

from transfusion import Study
from transfusion.runs.machine import Machine
from transfusion.spec import StudySpec, TaskSpec, TrainSpec

ONE_THREAD = Machine(accelerator="cpu", threads=1)


def study(folder, cache, steps=150, seeds=(0, 1, 2)):
    task = TaskSpec(data="embedded:fundus", image_size=32, num_images=(200, 40, 100))
    train = TrainSpec(steps=steps, batch_size=16, eval_every=max(1, steps // 10), precision="float32")
    spec = StudySpec(task=task, model="cbr_tiny_small", schemes=("random", "kaiming"), seeds=seeds, train=train)
    return Study(spec, folder, cache=cache)


def assert_same_bits(alone, shared):
    """Curves but for their times, final weights and predictions of every run."""
    columns = [column for column in alone.frame() if column != "time_s"]
    assert alone.frame()[columns].equals(shared.frame()[columns])
    for run in alone.runs():
        one, other = (each.store.run(run.id) for each in (alone, shared))
        assert one.after_path.read_bytes() == other.after_path.read_bytes()
        assert one.predictions_path.read_bytes() == other.predictions_path.read_bytes()
