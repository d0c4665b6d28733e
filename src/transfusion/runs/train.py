"""One training run: the loop, on one screen, and what it stands on.

Everything random is a pure function of (seed, step, index): the order of examples, every augmentation, every
dropout mask. So a checkpoint holds no random state, and a run killed at any step ends, once resumed, with the
same bits as one that was never killed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from transfusion import metrics
from transfusion.errors import DivergedError
from transfusion.metrics.registry import VALIDATION
from transfusion.runs.batches import Batches, augment, derive_seed, order
from transfusion.runs.run_files import PICKED_BY, RunFiles
from transfusion.spec import RunSpec, TrainSpec
from transfusion.tasks import Task

if TYPE_CHECKING:
    from lightning_fabric import Fabric

JUDGED = ("loss", *(name for name, metric in metrics.METRICS.items() if metric.higher_is_better))  # on validation
JUDGED_LOSS = f"{VALIDATION}loss"
NOTE_S = 0.5  # between two notes of the step, for displays
NUM_HALVINGS = 8  # of a run, for its snapshots
EVAL_BATCH = 128  # images; larger batches only cost memory on a processor

Follow = Callable[[dict[str, Any]], None]


LEAST_FALL = 1e-4  # share of the loss, as in torch.optim.lr_scheduler.ReduceLROnPlateau


def learning_rate(train: TrainSpec, step: int, losses: Sequence[float] = ()) -> float:
    """Learning rate of the step that starts from ``step`` in 0 .. steps - 1.

    Args:
        train: settings.
        step: that is about to be taken.
        losses: on the validation split, of every evaluation so far; ``plateau`` alone reads them.

    Examples:
        >>> train = TrainSpec(lr=1, steps=100, warmup_steps=10)
        >>> learning_rate(train, 0), learning_rate(train, 50)
        (0.1, 1.0)
    """
    progress = step / train.steps
    rate = train.lr * min(1.0, (step + 1) / train.warmup_steps if train.warmup_steps else 1.0)
    if train.schedule == "cosine":
        return rate * 0.5 * (1 + math.cos(math.pi * progress))
    if train.schedule == "step":
        return rate * train.gamma ** sum(progress >= milestone for milestone in train.milestones)
    if train.schedule == "plateau":
        return rate * train.gamma ** num_plateaus(losses, train.patience)
    return rate


def num_plateaus(losses: Sequence[float], patience: int) -> int:
    """How often a loss has not fallen for more than ``patience`` evaluations; the wait begins anew each time.

    Examples:
        >>> num_plateaus([1.0, 0.9, 0.9, 0.95, 0.9, 0.8], patience=1), num_plateaus([1.0, 0.9, 0.9, 0.9], patience=2)
        (1, 0)
    """
    best, waited, found = math.inf, 0, 0
    for loss in losses:
        waited += 1
        if loss < best * (1 - LEAST_FALL):
            best, waited = loss, 0
        elif waited > patience:
            waited, found = 0, found + 1
    return found


def snapshot_steps(train: TrainSpec) -> tuple[int, ...]:
    """Steps whose weights are kept to follow a run: a half, a quarter, ... of it, since most happens early.

    Examples:
        >>> snapshot_steps(TrainSpec(steps=40))
        (1, 2, 5, 10, 20)
    """
    return tuple(sorted({train.steps >> halving for halving in range(1, NUM_HALVINGS + 1)} - {0}))


def loss_of(task: Task, outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean loss: cross-entropy over classes, or binary cross-entropy over labels that are not NaN."""
    if task.kind != "multilabel":
        return nn.functional.cross_entropy(outputs.float(), labels)
    known = ~labels.isnan()  # NaN marks a label that nobody gave
    total = nn.functional.binary_cross_entropy_with_logits(outputs.float()[known], labels[known], reduction="sum")
    return total / known.sum().clamp(min=1)  # a batch without any label has loss 0, not NaN


@dataclass(frozen=True)
class Evaluation:
    """Every metric of the task at one step, with the scores (images, outputs) and labels behind them."""

    values: dict[str, float]
    scores: np.ndarray
    labels: np.ndarray


def predict(model: nn.Module, images: Tensor, task: Task, side: int | None = None) -> Tensor:
    """Logits of normalised images, (images, outputs).

    Args:
        model: in evaluation mode.
        images: (images, channels, height, width).
        task: decides whether outputs are for a softmax or for sigmoids.
        side: of ten crops, see ``TrainSpec.ten_crop``: then the logits are of the mean of their probabilities. None is
            the whole image.
    """
    if side is None:
        return cast(Tensor, model(images)).float()
    from torchvision.transforms.functional import ten_crop  # takes a second

    # one crop of all images after the other: no more memory than whole images take
    crops = (crop.contiguous(memory_format=torch.channels_last) for crop in ten_crop(images, [side]))
    logits = torch.stack([model(crop).float() for crop in crops])
    if task.kind != "multilabel":
        return logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))
    # log p - log (1 - p) of the mean p; by way of logarithms, as p itself may round to 1
    return nn.functional.logsigmoid(logits).logsumexp(dim=0) - nn.functional.logsigmoid(-logits).logsumexp(dim=0)


def evaluate(
    fabric: Fabric, model: nn.Module, task: Task, data: Batches, ten_crop_side: int | None = None
) -> Evaluation:
    """Measure ``model`` on all of ``data``; see ``predict`` for ``ten_crop_side``.

    Raises:
        DivergedError: if the network's outputs are not finite.
    """
    model.eval()
    outputs = []
    # interleaved: shares differ by one image at most, in number and in kind
    mine = np.arange(fabric.global_rank, len(data), fabric.world_size)
    with torch.inference_mode():
        for start in range(0, len(mine), EVAL_BATCH):
            images, _ = data.get(mine[start : start + EVAL_BATCH])
            outputs.append(predict(model, data.normalise(images), task, ten_crop_side))
    model.train()
    logits = _gather(fabric, torch.cat(outputs), len(data))
    labels = data.labels[torch.from_numpy(data.rows).to(data.device)]
    if not logits.isfinite().all():
        raise DivergedError("The network's outputs are NaN or infinite. Lower the learning rate (--lr).")
    loss = float(loss_of(task, logits, labels))
    logits, truth = logits.cpu().double(), labels.cpu().numpy()  # float64 on the processor: not every device has it
    scores = logits.sigmoid() if task.kind == "multilabel" else logits.softmax(dim=1)
    values = metrics.evaluate(task.kind, scores.numpy(), truth, task.positive)
    return Evaluation({"loss": loss, **values}, scores.numpy(), truth)


def _gather(fabric: Fabric, mine: Tensor, total: int) -> Tensor:
    """Interleave the ranks' rows again: rank r evaluated rows r, r + world, r + 2 world, ..."""
    if fabric.world_size == 1:
        return mine
    longest = math.ceil(total / fabric.world_size)
    padded = torch.cat([mine, mine.new_zeros(longest - len(mine), mine.shape[1])])  # all_gather needs equal shapes
    gathered = fabric.all_gather(padded)
    assert isinstance(gathered, Tensor)
    return gathered.transpose(0, 1).reshape(-1, mine.shape[1])[:total]


def make_optimizer(train: TrainSpec, model: nn.Module, device_type: str) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD over the parameters that require gradients."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    options: dict[str, Any] = {
        "lr": train.lr,
        "weight_decay": train.weight_decay,
        "fused": device_type in ("cpu", "cuda"),  # one kernel for all parameters
    }
    if train.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=train.momentum, **options)
    if train.optimizer == "adamw":
        return torch.optim.AdamW(parameters, **options)
    return torch.optim.Adam(parameters, **options)


class Trainer:
    """One run on its way from initial to final weights."""

    def __init__(self, fabric: Fabric, run: RunSpec, task: Task, model: nn.Module) -> None:
        self.fabric, self.run, self.task = fabric, run, task
        device = fabric.device
        # convolutions are faster so, and every run uses it: the layout changes the last bits
        model = model.to(device).to(memory_format=torch.channels_last)
        self.module = model
        self.model, self.optimizer = fabric.setup(model, make_optimizer(run.train, model, device.type))
        self.data = Batches(task, task.splits["train"], task.subset(run.size, run.seed), device)
        self.held_out = Batches(task, task.splits[run.train.eval_split], None, device)
        picks = run.train.eval_split != "val" and len(task.splits["val"]) > 0
        self.validation = Batches(task, task.splits["val"], None, device) if picks else None
        self.judged: dict[int, float] = {}
        self.step = 0
        self.losses: list[Tensor] = []
        self.scores: dict[int, Tensor] = {}
        self.time_s = 0.0

    def train_step(self) -> None:
        """One optimiser step; every draw in it depends on (seed, step) alone."""
        run, train, rank, world = self.run, self.run.train, self.fabric.global_rank, self.fabric.world_size
        positions = order(len(self.data), train.batch_size, run.seed, self.step)
        images, labels = self.data.get(positions[rank::world])
        which = slice(rank, train.batch_size, world)
        images = augment(train.augment, images, run.seed, self.step, which, train.ten_crop)
        torch.manual_seed(derive_seed(run.seed, self.step, rank))  # for dropout
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(train, self.step, [self.judged[step] for step in sorted(self.judged)])
        loss = loss_of(self.task, self.model(self.data.normalise(images)), labels)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        self.losses.append(loss.detach())  # stays on the device: reading it each step would wait for the GPU
        self.step += 1

    def train_loss(self) -> float:
        """Mean training loss since the last evaluation, NaN before the first step.

        Raises:
            DivergedError: naming the first step whose loss was NaN or infinite.
        """
        if not self.losses:
            return math.nan
        losses = torch.stack(self.losses)
        if self.fabric.world_size > 1:  # every device must come to the same conclusion
            losses = cast(Tensor, self.fabric.all_reduce(losses, reduce_op="mean"))
        losses = losses.cpu().double()
        bad = torch.nonzero(~losses.isfinite())
        if len(bad):
            step = self.step - len(losses) + int(bad[0])  # losses are only looked at when the curve gets a row
            raise DivergedError(
                f"The loss became {float(losses[bad[0]])} at step {step}. Lower the learning rate (--lr)."
            )
        self.losses.clear()
        return float(losses.mean())

    def evaluate(self, data: Batches) -> Evaluation:
        """Measure the network as it is on some images."""
        return evaluate(self.fabric, self.model, self.task, data, self.run.train.ten_crop)

    def measure(self) -> tuple[dict[str, Any], Evaluation, Evaluation | None]:
        """Evaluate: a row of the curve, the scores behind it, and those on the validation split where there is one.

        Raises:
            DivergedError: if the loss or the outputs are not finite.
        """
        train_loss = self.train_loss()
        found = self.evaluate(self.held_out)
        self.scores[self.step] = torch.from_numpy(found.scores)
        row = {"step": self.step, **found.values}
        judged = None if self.validation is None else self.evaluate(self.validation)
        if judged is not None:
            row |= {f"{VALIDATION}{name}": judged.values[name] for name in JUDGED if name in judged.values}
            self.judged[self.step] = judged.values["loss"]
        return {**row, "train_loss": train_loss}, found, judged

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step,
            "losses": [float(loss) for loss in self.losses],
            "scores": self.scores,  # on held-out images, of every evaluation so far
            "time_s": self.time_s,
            "model": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),  # the loss scale of float16
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Resume from what ``state`` returned."""
        self.step, self.time_s, self.scores = state["step"], state["time_s"], state["scores"]
        self.losses = [torch.tensor(loss, device=self.fabric.device) for loss in state["losses"]]
        self.module.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])


class Record:
    """What a run leaves on disk along its way. Of several devices that share a run, the first one writes."""

    def __init__(self, trainer: Trainer, files: RunFiles, checkpoint_s: float, follow: Follow | None) -> None:
        self.trainer, self.files, self.checkpoint_s, self.follow = trainer, files, checkpoint_s, follow
        self.is_writer = trainer.fabric.is_global_zero
        self.began = time.monotonic() - trainer.time_s
        self.saved = self.noted = time.monotonic()
        self.best = max((row[PICKED_BY] for row in files.curve() if row.get(PICKED_BY) is not None), default=-math.inf)

    def snapshot(self) -> None:
        """Keep the weights of this step."""
        if self.is_writer:
            self.files.save_snapshot(self.trainer.step, self.trainer.module.state_dict())

    def evaluation(self) -> None:
        """Measure, and keep the row last: what it speaks of must be on disk before it."""
        row, found, judged = self.trainer.measure()
        if not self.is_writer:
            return
        row["time_s"] = time.monotonic() - self.began
        picks = None if judged is None else (judged.scores, judged.labels)
        kept = found.scores, found.labels, self.trainer.held_out.patients, picks
        if row.get(PICKED_BY, math.nan) > self.best:
            self.best = row[PICKED_BY]
            self.files.save_picked_weights(self.trainer.module.state_dict())
            self.files.save_predictions(*kept, picked=True)
        if self.trainer.step == self.trainer.run.train.steps:
            self.files.save_predictions(*kept)
            self.files.save_scores(self.trainer.scores)
        self.files.append(row)
        if self.follow:
            self.follow(row)

    def progress(self) -> None:
        """Keep a checkpoint if the last one is old enough, and the step's number for displays more often."""
        now = time.monotonic()
        if now - self.saved >= self.checkpoint_s:
            self.trainer.time_s = now - self.began
            if self.is_writer:
                self.files.save_checkpoint(self.trainer.state())
            # from after the writing: where a checkpoint takes longer than its interval, training still advances
            self.saved = time.monotonic()
        if self.is_writer and now - self.noted >= NOTE_S:
            self.files.note_step(self.trainer.step)
            self.noted = now


def fit(
    trainer: Trainer, files: RunFiles, checkpoint_s: float, snapshots: bool = False, follow: Follow | None = None
) -> None:
    """Train to the end, evaluating on a fixed schedule; safe to kill at any moment.

    Args:
        trainer: the run, at its first step or where it was resumed.
        files: where everything is kept.
        checkpoint_s: least time in seconds between two checkpoints.
        snapshots: keep the weights at ``snapshot_steps`` too.
        follow: takes each new row of the curve, for trackers.
    """
    train, record = trainer.run.train, Record(trainer, files, checkpoint_s, follow)
    # rows of the curve may be newer than the checkpoint: what a schedule follows is read from them
    trainer.judged = {row["step"]: row[JUDGED_LOSS] for row in files.curve() if JUDGED_LOSS in row}
    due = set(train.evaluations) - {row["step"] for row in files.curve()}
    kept = snapshot_steps(train) if snapshots else ()
    # one turn more than steps: the weights after the last one are evaluated too
    for step in range(trainer.step, train.steps + 1):
        if step in kept:
            record.snapshot()
        if step in due:  # before the step is taken: row 0 is of the initial weights
            record.evaluation()
        if step < train.steps:
            record.progress()
            trainer.train_step()
