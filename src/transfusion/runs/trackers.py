"""Curves also to TensorBoard, CSV, Weights & Biases or MLflow, on request: whatever Lightning has a logger for.

What the study keeps is never read back from a tracker. Each run is one run of the tracker, named by start and seed,
with the run's spec as its hyper-parameters. What a tracker has received is recorded beside the run, so a resumed run
continues in it without logging anything twice, and a tracker requested later receives the whole curve.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from transfusion.errors import SpecError, UnknownNameError
from transfusion.runs.store import RunFiles, Store
from transfusion.spec import RunSpec

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where and under which name a tracker is to keep a run.

    Attributes:
        folder: of the study's trackers.
        study: name of the study, which services group runs by.
        title: display name of the run.
        known_as: the tracker's own id of the run, or None before it was first logged.
    """

    folder: Path
    study: str
    run: RunSpec
    title: str
    known_as: str | None

    @property
    def slug(self) -> str:
        """A name for a folder, unique in the study."""
        return f"{self.title.replace(',', '').replace(' ', '-')}-{self.run.id}"


def check(names: Iterable[str]) -> None:
    """Reject unknown trackers and those whose packages are missing.

    Raises:
        UnknownNameError: listing the known ones.
        SpecError: saying what to install.
    """
    for name in names:
        if name not in KINDS:
            raise UnknownNameError.of("tracker", name, KINDS)
        packages = KINDS[name].packages
        # found without importing it: that is slow
        if not all(find_spec(package.replace("-", "_")) for package in packages):
            raise SpecError(f"The tracker {name} needs {' and '.join(packages)}: pip install {' '.join(packages)}")


@contextmanager
def following(names: Iterable[str], store: Store, run: RunSpec) -> Iterator[Callable[[Row], None]]:
    """Log a run to trackers as it trains; yields a function that takes each new row of its curve.

    Rows already on disk are logged first if a tracker has not received them. An error in a tracker fails the run like
    any other: it is recorded, and the same command resumes.

    Args:
        names: of trackers.
        store: of the study.
        run: which of its runs.
    """
    followers = [Follower.of(name, store, run) for name in names]

    def tell(row: Row) -> None:
        for follower in followers:
            follower.tell(row)

    done = False
    try:
        for row in store.run(run.id).curve():
            tell(row)
        yield tell
        done = True
    finally:
        for follower in followers:
            follower.close("success" if done else "failed")  # also on Ctrl-C, else files stay open


@dataclass(frozen=True)
class Follower:
    """One tracker that follows one run."""

    name: str
    logger: Logger
    files: RunFiles
    run: RunSpec

    @classmethod
    def of(cls, name: str, store: Store, run: RunSpec) -> Follower:
        """Begin, or continue where the tracker stopped."""
        files, kind = store.run(run.id), KINDS[name]
        logged = files.logged()
        known = logged.get(name, {})
        logger = kind.open(Place(store.trackers_path, store.folder.name, run, run.label, known.get("id")))
        if kind.starts_anew or not known:
            files.record_logged(logged | {name: {"step": -1, "id": kind.id_of(logger)}})
            kind.describe(logger, run)
        return cls(name, logger, files, run)

    def tell(self, row: Row) -> None:
        """Log one row of the curve, unless the tracker has it."""
        logged = self.files.logged()
        if row["step"] <= logged[self.name]["step"]:
            return
        values = {key: float(value) for key, value in row.items() if key != "step" and value is not None}
        self.logger.log_metrics({key: value for key, value in values.items() if not math.isnan(value)}, row["step"])
        self.logger.save()
        # after save(): a kill in between logs one row twice, the other order would lose it
        self.files.record_logged(logged | {self.name: logged[self.name] | {"step": row["step"]}})

    def close(self, status: str) -> None:
        """Let the tracker finish its files."""
        self.logger.finalize(status)
        KINDS[self.name].end(self.logger)


def _csv(place: Place) -> Logger:
    from lightning_fabric.loggers.csv_logs import CSVLogger

    shutil.rmtree(place.folder / "csv" / place.slug, ignore_errors=True)  # the logger cannot append to an existing file
    return CSVLogger(place.folder, name="csv", version=place.slug, flush_logs_every_n_steps=1)


def _tensorboard(place: Place) -> Logger:
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    return TensorBoardLogger(place.folder, name="tensorboard", version=place.slug, default_hp_metric=False)


def _wandb(place: Place) -> Logger:
    place.folder.mkdir(parents=True, exist_ok=True)
    # offline unless asked: an upload of somebody's results must be a choice
    offline = os.environ.get("WANDB_MODE", "offline") in ("offline", "dryrun")
    logger: Logger = import_module("pytorch_lightning.loggers").WandbLogger(
        name=place.title, project=place.study, save_dir=place.folder, version=place.run.id, offline=offline
    )
    return logger


def _mlflow(place: Place) -> Logger:
    mlflow, loggers = import_module("mlflow"), import_module("pytorch_lightning.loggers")
    where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(place.folder / 'mlflow.db').absolute()}"
    place.folder.mkdir(parents=True, exist_ok=True)
    with suppress(mlflow.MlflowException):  # it exists, or another worker is creating it
        mlflow.MlflowClient(where).create_experiment(place.study)
    logger: Logger = loggers.MLFlowLogger(place.study, place.title, where, run_id=place.known_as)
    return logger


def _describe(logger: Logger, run: RunSpec) -> None:
    logger.log_hyperparams(run.model_dump(mode="json"))


def _describe_as_text(logger: Any, run: RunSpec) -> None:
    """TensorBoard's own table of hyper-parameters needs a result, which a run has only at its end."""
    logger.experiment.add_text("spec", f"```json\n{run.to_json()}```")


def _nothing(*_: Any) -> None:
    """For steps that a kind of tracker does not need."""


def _mlflow_id(logger: Any) -> str:
    return str(logger.run_id)


def _finish(logger: Any) -> None:
    """Otherwise the next run in this process would log into this one."""
    logger.experiment.finish()


@dataclass(frozen=True)
class Kind:
    """How one kind of tracker differs from the others.

    Attributes:
        packages: what must be installed, by the names that pip knows.
        open: makes its logger.
        describe: gives it the run's spec.
        id_of: what it calls the run, where that is its own choice.
        end: what it needs beyond ``finalize``.
        starts_anew: whether it writes the whole curve again when a run is resumed.
    """

    packages: tuple[str, ...]
    open: Callable[[Place], Logger]
    describe: Callable[[Logger, RunSpec], None] = _describe
    id_of: Callable[[Logger], str | None] = _nothing
    end: Callable[[Logger], None] = _nothing
    starts_anew: bool = False


KINDS = {
    "tensorboard": Kind(("tensorboard",), _tensorboard, describe=_describe_as_text),
    "csv": Kind((), _csv, describe=_nothing, starts_anew=True),
    "wandb": Kind(("wandb", "pytorch-lightning"), _wandb, end=_finish),
    "mlflow": Kind(("mlflow", "pytorch-lightning"), _mlflow, id_of=_mlflow_id),
}
