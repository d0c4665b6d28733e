"""What differs from the paper: its settings beside ours, and what it leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from transfusion.paper.record import Record
from transfusion.report.parts import Section, Table
from transfusion.spec import StudySpec, TrainSpec

CITED = " (the code it cites)"
_FUNDUS = {
    "data": "private fundus photographs, several gradings each",
    "network": "resnet50", "donor": "ImageNet; which weights is not stated",
    "image size": "587 px", "optimiser": "adam, learning rate 0.001", "schedule": "not stated", "batch": "8 images",
    "length": "some 100,000 steps (Figure 3)", "augmentation": "not stated", "head": "not stated",
    "split": "not stated", "precision": "not stated", "runs": "5 (Table 1), 3 (Table 2)",
}  # fmt: skip
_CHEST = {
    "data": "ChestX-ray14", "network": "densenet121", "donor": f"torchvision:densenet121{CITED}",
    "image size": "224 px",
    "optimiser": "adam, learning rate 0.0001, weight decay 1e-05", "schedule": f"plateau, x0.1{CITED}",
    "batch": "128 images", "length": "not stated", "head": "not stated",
    "augmentation": f"resized_crop; ten crops of 224 px to test{CITED}",
    "split": "not stated; its numbers fit the lists of the code it cites", "precision": "not stated",
    "runs": "not stated",
}  # fmt: skip
_CIFAR = {
    "data": "CIFAR-10", "network": "resnet50_cifar", "donor": "trained on CIFAR-100, how long is not stated",
    "image size": "32 px", "optimiser": "sgd, momentum 0.9, learning rate 0.1, weight decay 0.0005",
    "schedule": "x0.2 at 30, 60, 80 %", "batch": "128 images",
    "length": "not stated; 200 epochs by convention", "augmentation": "not stated", "head": "not stated",
    "split": "publisher's", "precision": "not stated", "runs": "not stated",
}  # fmt: skip
_NATURAL = {
    "data": "ImageNet", "network": "resnet50", "donor": "none", "image size": "224 px", "optimiser": "not stated",
    "schedule": "not stated", "batch": "not stated", "length": "not stated", "augmentation": "not stated",
    "head": "not stated",
    "split": "publisher's", "precision": "not stated", "runs": "1",
}  # fmt: skip
STATED: Mapping[str, Mapping[str, str]] = {"fundus": _FUNDUS, "chest": _CHEST, "cifar": _CIFAR, "natural": _NATURAL}


def differences(record: Record) -> Section:
    """The paper's settings beside those of every part."""
    rows = tuple(row for part in record.stores for row in _rows(record, part))
    caption = "What the paper states of its settings, and what was run. Where it states nothing, ours is a choice."
    table = Table("differences", caption, ("part", "setting", "paper", "here", ""), rows)
    return Section("differences", "What differs from the paper", (table,))


def _rows(record: Record, part: str) -> Iterator[tuple[str, ...]]:
    for what, here in settings(record, part).items():
        paper = STATED[record.name][what]
        # what the paper states is written as ``settings`` writes ours, so equal words are equal settings
        same = record.has_data if what == "data" else paper.removesuffix(CITED) == here
        yield part, what, paper, here, _word(paper, same=same)


def _word(paper: str, *, same: bool) -> str:
    if "not stated" in paper:  # first: a choice of ours that the paper leaves open does not differ from it
        return "left open"
    return "as in the paper" if same else "differs"


def settings(record: Record, part: str) -> dict[str, str]:
    """What was run, by the names of the paper's settings."""
    spec, card = record.stores[part].spec(), record.stores[part].card()
    train, images = spec.train, card.get("images", {})
    split = ", ".join(f"{count:,} {name}" for name, count in images.items() if count)
    given = "publisher's" if "test" in card.get("splits_given", ()) else "ours, by patient where patients are known"
    return {
        "data": record.identity.why,
        "network": spec.model,
        "donor": _donor(spec),
        "image size": f"{train.side(spec.task.image_size or min(card['sizes']['smallest']))} px",
        "optimiser": _optimiser(train),
        "schedule": _schedule(train),
        "batch": f"{train.batch_size} images",
        "length": f"{train.epochs:g} epochs" if train.epochs else f"{train.steps:,} steps",
        "augmentation": train.augment + (f"; ten crops of {train.ten_crop} px to test" if train.ten_crop else ""),
        "head": f"{spec.head}, the same for all starts of a seed",
        "split": f"{given} ({split})",
        "precision": _precision(record, part),
        "runs": f"{len(spec.seeds)}",
    }


def _donor(spec: StudySpec) -> str:
    if spec.donor is None or isinstance(spec.donor, str):
        return spec.donor or "none"
    length = f"{spec.donor.train.epochs:g} epochs" if spec.donor.train.epochs else f"{spec.donor.train.steps:,} steps"
    return f"trained by the recipe on {spec.donor.task.data}, {length}"


def _optimiser(train: TrainSpec) -> str:
    momentum = f", momentum {train.momentum:g}" if train.optimizer == "sgd" else ""
    decay = f", weight decay {train.weight_decay:g}" if train.weight_decay else ""
    return f"{train.optimizer}{momentum}, learning rate {train.lr:g}{decay}"


def _schedule(train: TrainSpec) -> str:
    if train.schedule == "step":
        # milestones above 1 are epochs, see ``TrainSpec``
        shares = (place if place < 1 else place / (train.epochs or 1) for place in train.milestones)
        return f"x{train.gamma:g} at {', '.join(f'{100 * share:g}' for share in shares)} %"
    return f"plateau, x{train.gamma:g}" if train.schedule == "plateau" else train.schedule


def _precision(record: Record, part: str) -> str:
    # as it was carried out: "auto" depends on the device
    found = {str(files.machine()["precision"]) for files in record.stores[part].grid() if files.state == "done"}
    return ", ".join(sorted(found)) or record.stores[part].spec().train.precision
