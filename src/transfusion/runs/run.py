"""One run, from its spec to its result: claim it, prepare it, train it, record what happened."""

from __future__ import annotations

import contextlib
import threading
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from transfusion import schemes, tasks
from transfusion.errors import DivergedError, SpecError
from transfusion.files import lacks_memory, write_table
from transfusion.locks.leases import LeaseLostError
from transfusion.networks import donors, models
from transfusion.runs import trackers
from transfusion.runs.jobs import Ending
from transfusion.runs.machine import Machine, best_precision, describe, end_with_parent
from transfusion.runs.store import RunFiles, Store, read_tensors, write_tensors
from transfusion.runs.train import Trainer, fit
from transfusion.spec import RunSpec

if TYPE_CHECKING:
    from lightning_fabric import Fabric


NO_MEMORY = "Not enough memory: lower --batch-size or --workers, or free some."
_ALONE = threading.Lock()  # torch's random state and threads belong to the process: one run at a time


@dataclass(frozen=True)
class Job:
    """All that a worker needs to carry out one run, wherever it is; small and picklable.

    Attributes:
        folder: of the study.
        cache: of decoded images, or None for the user's.
        snapshots: keep weights along the way, for the dynamics of representations.
        trackers: that also receive its curve; see ``trackers``.
        verify: read every file of a run that turns out to be finished, and repeat it where one is damaged.
        failed_at: stamp of the failure that is to be tried again; another one is another process's, since this job was
            made. None tries again whatever failed.
    """

    run: RunSpec
    folder: Path
    machine: Machine
    cache: Path | None = None
    snapshots: bool = False
    trackers: tuple[str, ...] = ()
    verify: bool = True
    failed_at: int | None = None

    @property
    def id(self) -> str:
        """The run's."""
        return self.run.id

    @property
    def files(self) -> RunFiles:
        """Where everything of the run is kept."""
        return Store(self.folder).run(self.id)

    @property
    def is_open(self) -> bool:
        """See ``Job``."""
        files = self.files
        if files.state == "failed":
            return files.wanted and self.failed_at in (None, files.failed_at)
        return files.state != "done" or self.verify

    def carry_out(self) -> Ending:
        """See ``carry_out``."""
        return carry_out(self)

    def fail(self, error: str, trace: str) -> None:
        """Record what went wrong outside the run; the same command tries again."""
        self.files.fail(error, trace, retry=True)


def carry_out(job: Job) -> Ending:
    """Carry out one run, or resume it; never raises for errors inside the run.

    Returns:
        ``done``; ``failed`` (recorded with its traceback); ``busy`` when another process works on it; ``kept``
        when one has ended it.
    """
    files = job.files
    with _ALONE, files.claim() as mine:
        if not mine:
            return "busy"
        try:
            # asked again under the lock: another process may have ended it since the job was made
            if not job.is_open:
                return "kept"
            if files.state == "done":
                damaged = files.damage()
                if not damaged:
                    return "kept"
                files.reopen(damaged)
            _launch(job)
        except LeaseLostError:
            return "busy"
        except Exception as error:
            if files.state == "done":  # its result is on disk: only tidying went wrong
                return "done"
            message = NO_MEMORY if lacks_memory(error) else " ".join(str(error).split()) or type(error).__name__
            files.fail(message, traceback.format_exc(), retry=not isinstance(error, DivergedError))
            return "failed"
    return "done"


def _launch(job: Job) -> None:
    files, machine, precision = job.files, job.machine.here(), str(job.run.train.precision)
    machine.check(job.run.train.batch_size, precision)
    # before began_on(), which reads the spec: it may be damaged
    files.declare(job.run)
    began = files.began_on()
    with contextlib.suppress(KeyError, SpecError):  # a folder that was copied here may have begun on another device
        before = Machine(**{key: began[key] for key in ("accelerator", "devices", "threads", "checkpoint_s")})
        before.check(job.run.train.batch_size, began["precision"])
        machine, precision = before, began["precision"]
    # resolved once and recorded: a run that is resumed on another processor keeps its precision
    if precision == "auto":
        precision = best_precision(machine.device_type())
    files.begin(job.run, describe(machine, precision))
    fabric = machine.fabric(precision)
    if machine.devices > 1:
        diverged = fabric.launch(partial(_work_beside, job=job, machine=machine))
        if diverged is not None:
            raise diverged
    else:
        _work(fabric, job, machine)


def _work_beside(fabric: Fabric, job: Job, machine: Machine) -> DivergedError | None:
    """``_work`` in one of several processes; divergence is handed back, since an exception would lose its type."""
    end_with_parent()
    try:
        _work(fabric, job, machine)
    except DivergedError as error:
        return error
    return None


def _work(fabric: Fabric, job: Job, machine: Machine) -> None:
    """What every device's process does; only the first one writes."""
    files = Store(job.folder).run(job.run.id)
    machine.settle()
    task = tasks.load(job.run.task, cache=job.cache)
    side = job.run.train.side(task.image_size)
    model = models.build(job.run.model, task.num_outputs, task.channels, side)
    checkpoint = files.load_checkpoint()
    # weights at step 0 that were lost are drawn again even where training resumes: the seed decides them
    if checkpoint is None or not files.has_beginning:
        _start(fabric, job, files, model)
    trainer = Trainer(fabric, job.run, task, model)
    if checkpoint is not None:
        trainer.resume(checkpoint)
    if fabric.is_global_zero:
        # -1: the row of step 0 is made again too
        files.rewind(trainer.step if checkpoint else -1)
    told_here = job.trackers if fabric.is_global_zero else ()
    with trackers.following(told_here, Store(job.folder), job.run) as tell:
        # the others must not read the curve before the first process has rewound it
        fabric.barrier()
        fit(trainer, files, machine.checkpoint_s, job.snapshots, tell)
    if fabric.is_global_zero:
        write_tensors(files.after_path, trainer.module.state_dict())
        files.finish(files.curve()[-1])  # last: only this makes the run finished


def _start(fabric: Fabric, job: Job, files: RunFiles, model: nn.Module) -> None:
    """Draw the initial weights and keep them with their provenance."""
    provenance = initial_weights(job, model)
    if fabric.is_global_zero:
        write_table(files.provenance_path, provenance.frame().to_csv(index=False))
        write_tensors(files.before_path, model.state_dict())


def initial_weights(job: Job, model: nn.Module) -> schemes.Provenance:
    """Initialise ``model`` as the run's scheme says; returns the provenance of every tensor."""
    run = job.run
    donor = None
    if run.donor is not None:
        kept = Store(job.folder).donor_path(donor_key(run))
        # from the study's copy: the original may be updated or gone before the last seed
        donor = donors.adapt(read_tensors(kept), model)
    start = run.scheme
    return schemes.initialize(
        model, start.name, donor, run.seed, start.batch_norm, upto=start.upto, rest=start.rest, head=start.head
    )


def donor_key(run: RunSpec) -> str:
    """The name under which the study keeps the run's donor."""
    return run.donor_fingerprint or str(run.donor).removeprefix("run:")
