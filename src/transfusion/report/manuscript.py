"""The section for a paper: a methods paragraph to paste, and the items of the CLAIM checklist that are on record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from transfusion import __version__
from transfusion.metrics.registry import metric_of
from transfusion.report.material import Material
from transfusion.report.opening import without_paths
from transfusion.report.parts import Fold, Part, Quote, Section, Table
from transfusion.spec import StudySpec, TrainSpec
from transfusion.tasks.patients import BY_NAMES, SERIES
from transfusion.verdict.effects import RISE_SHARE
from transfusion.verdict.numbers import (
    RATIO,
    SHARE,
    SIGNED,
    level,
    listed,
    mean_and_sd,
    measured,
    number,
)

FOR_YOU = "for you"
BESIDE = {"accuracy": "accuracy", "brier": "Brier score", "ece": "expected calibration error"}
LONG = {"train": "training", "val": "validation"}
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}
# Mongan, Moy and Kahn 2020, Radiology: Artificial Intelligence 2(2):e200029; topics shortened
ITEMS = {
    1: "title and abstract name the AI methodology", 2: "structured summary", 3: "scientific and clinical background",
    4: "objectives and hypotheses", 5: "prospective or retrospective", 6: "goal of the study", 7: "data sources",
    8: "eligibility", 9: "pre-processing", 10: "subsets of the data", 11: "definitions of data elements",
    12: "de-identification", 13: "missing data", 14: "definition of the reference standard",
    15: "rationale of the reference standard", 16: "source of the annotations", 17: "annotation tools",
    18: "variability of readers", 19: "sample size", 20: "partitions of the data",
    21: "level at which partitions are disjoint",
    22: "the model", 23: "software", 24: "initialisation", 25: "training", 26: "how the final model is chosen",
    27: "ensembling", 28: "metrics", 29: "uncertainty", 30: "robustness", 31: "explainability", 32: "external data",
    33: "flow of participants", 34: "demographics by partition", 35: "performance", 36: "diagnostic accuracy",
    37: "failure analysis", 38: "limitations", 39: "implications", 40: "registration", 41: "protocol and code",
    42: "funding",
}  # fmt: skip
RULES = {
    "pretrained": "all weights of the donor",
    "mean_var": "normal draws with the mean and variance of each of the donor's tensors",
    "random": "Glorot normal draws",
    "kaiming": "He normal draws",
    "default": "the framework's own rule",
    "sampling": "draws with replacement from the donor's values",
    "shuffled": "a permutation of the donor's values",
}


def section(material: Material) -> Section | None:
    """Text and table for a paper; None without a data card or a finished run."""
    if not material.card.get("images") or not material.finished:
        return None
    said = dict(_filled(material))
    rows = tuple((str(num), topic, said.get(num, FOR_YOU)) for num, topic in ITEMS.items())
    caption = (
        f"CLAIM 2020, {len(said)} of {len(rows)} items from what is on disk; the rest is {FOR_YOU}. Check every one "
        "against your study."
    )
    fold = Fold("CLAIM checklist", (Table("claim", caption, ("item", "what it asks", "this study"), rows),))
    parts: tuple[Part, ...] = ("Methods, to paste and to check:", Quote(methods(material)), fold)
    return Section("manuscript", "For your paper", parts)


def methods(material: Material) -> str:
    """The methods as a paragraph, in the past tense."""
    said = dict(_filled(material))
    order = (20, 21, 9, 22, 24, 25, 26, 28, 29, 23)  # as methods are read: data, network, training, judging, software
    return " ".join(said[num] for num in order if num in said)


def _filled(material: Material) -> Iterator[tuple[int, str]]:
    """Number and sentence of every item that can be filled from the records."""
    spec, card = material.spec, material.card
    yield from _of_data(spec, card)
    yield from _of_networks(material)
    yield (
        28,
        f"Networks were judged by {material.judge.title} on the {spec.train.eval_split} images; {_also(material)}.",
    )
    yield 29, _uncertainty(material)
    yield 33, _flow(card)
    yield 34, _partitions(card)
    yield 35, _performance(material)
    if "accuracy" in material.frame:
        yield 36, "See “If you used it”: sensitivity and specificity at two thresholds, ROC curves, confusion matrices."
        yield (
            37,
            "See “Right and wrong, in pictures”." if material.shows_images else "The predictions are kept on disk.",
        )
    yield (
        41,
        f"transfusion {__version__}; study.json beside this page repeats the study. Registration of code: {FOR_YOU}.",
    )


def _of_data(spec: StudySpec, card: dict[str, Any]) -> Iterator[tuple[int, str]]:
    images = card["images"]
    if seen := card.get("normalization"):
        mean, std = (", ".join(f"{value:.3g}" for value in seen[key]) for key in ("mean", "std"))
        side = f"{spec.task.image_size} x {spec.task.image_size} pixels" if spec.task.image_size else "one size"
        yield (
            9,
            (
                f"Images were scaled to {side} ({seen['interpolation']} interpolation) and normalised by mean {mean} "
                f"and standard deviation {std}."
            ),
        )
    sizes = [f"{size:g}" if size is not None else "all" for size in spec.sizes]
    if len(sizes) > 1:
        yield (
            10,
            f"Networks were trained on subsets of {listed(sizes)} training images, stratified by class and nested.",
        )
    left_out = card.get("left_out", [])
    yield 13, f"{len(left_out)} images could not be used and were left out." if left_out else "No image was left out."
    total = sum(images.values())
    yield (
        19,
        f"{total:,} images and {len(spec.seeds)} trainings of each start; no sample size was calculated beforehand.",
    )
    given = card.get("splits_given", [])
    how = f"The {listed(given)} split{'s were' if len(given) > 1 else ' was'} the publisher's"
    how = how if given else "The data came without a split"
    yield 20, f"The data were {_by_split(images)} images. {how}{'' if given else ', and parts were cut off at random'}."
    yield 21, _disjoint(card)


def _by_split(counts: Mapping[str, int]) -> str:
    return listed([f"{count:,} {LONG.get(split, split)}" for split, count in counts.items() if count])


def _disjoint(card: dict[str, Any]) -> str:
    known = {split: count for split, count in card.get("patients", {}).items() if isinstance(count, int) and count}
    if not known:
        return "Patients were not known; partitions are disjoint by image."
    counts = listed([f"{count:,} ({split})" for split, count in known.items()])
    shared = card.get("patients_in_both", {})
    if shared:
        told = listed([f"{count} in {pair}" for pair, count in shared.items()])
        return f"Of {counts} patients, {told} are in both partitions."
    notes = [note for note in card.get("warnings", []) if note.startswith((BY_NAMES, SERIES))]
    by = ", as far as file names tell" if notes else ""
    series = "".join(f" {note}" for note in notes if note.startswith(SERIES))
    return f"Partitions were disjoint by patient{by}: {counts} patients.{series}"


def _of_networks(material: Material) -> Iterator[tuple[int, str]]:
    spec, machine = material.spec, next((one for files in material.finished if (one := files.machine())), {})
    yield 22, f"The network was {spec.model}."
    versions = machine.get("versions", {})
    told = [f"{name} {versions[name]}" for name in ("transfusion", "torch", "torchvision", "timm") if name in versions]
    if told:
        where = f"{machine.get('gpu') or machine.get('processor', 'unknown processor')}, {machine.get('precision')}"
        yield 23, f"Software was {listed(told)} on {where}."
    donor = f" The donor was {without_paths(spec.donor)}." if isinstance(spec.donor, str) else ""
    starts = dict.fromkeys(level.start.scheme for level in material.verdict.levels.values())
    rules = "; ".join(f"{name}, {RULES.get(name, 'a rule of its own')}" for name in starts)
    yield 24, f"Networks began from: {rules}; heads were drawn alike for all.{donor}"
    yield 25, _training(material.finished[0].spec().train, len(spec.seeds))
    picked = any(files.picked_path.exists() for files in material.finished)
    by = metric_of(material.judge.picked_by).title  # of one class, too, a network is picked by the mean AUC
    yield (
        26,
        (
            f"The evaluation with the highest {by} on the validation images counted."
            if picked
            else "The last step counted, without any choice."
        ),
    )


def _training(train: TrainSpec, num_seeds: int) -> str:
    schedule = "" if train.schedule == "constant" else f" with a {train.schedule} schedule"
    augment = "no augmentation" if train.augment == "none" else f"augmentation ({train.augment})"
    crops = f"squares of {train.ten_crop} x {train.ten_crop} pixels of each image"
    tested = f" They saw {crops}; an evaluation averages the probabilities of ten." if train.ten_crop else ""
    return (
        f"Each start was trained {num_seeds} times, with seeds shared by all starts, for {train.steps:,} steps of "
        f"{train.batch_size} images by {OPTIMIZERS[train.optimizer]} at a learning rate of {train.lr:g}{schedule}, "
        f"with weight decay {train.weight_decay:g} and {augment}.{tested}"
    )


def _also(material: Material) -> str:
    known = [title for name, title in BESIDE.items() if name in material.frame]
    beside = f"beside it {listed(known)}, " if known else ""
    return (
        f"{beside}and by the steps to {number(RISE_SHARE, SHARE)} of the rise of {material.verdict.baseline}. A "
        f"difference of less than {material.verdict.margin:g} was taken not to matter"
    )


def _performance(material: Material) -> str:
    """Every start's end, and its difference and speed against the baseline, with their intervals."""
    verdict, title = material.verdict, material.judge.title
    said = []
    for name, found in verdict.levels.items():
        parts = [f"{name}: final {title} {mean_and_sd(found.mean, found.std)} (n = {found.n})"]
        if effect := verdict.schemes.get(name):
            parts.append(f"difference to {effect.against} {measured(effect.claim('final_difference'), SIGNED)}")
            speed = measured(effect.claim("speedup"), RATIO)
            parts.append(
                f"steps of {effect.against} over its own to {title} {level(verdict.rise.level(RISE_SHARE))}: {speed}"
            )
        said.append(", ".join(parts))
    return f"{'; '.join(said)}. Brackets are adjusted 95 % intervals."


def _uncertainty(material: Material) -> str:
    """What intervals are over, which comparisons are primary, and by which methods they are adjusted."""
    main = material.verdict.main
    if main is None:
        return "Intervals are 95 % intervals over trainings, paired by seed."
    whom = material.verdict.judged_on
    ends, speeds = (
        f"trainings and {whom}" if "patients" in found.parts else f"trainings, on these test {whom} only"
        for found in (main.final_difference, main.speedup)
    )
    over = f"over {ends}" if ends == speeds else f"over {ends}, for the end, and over {speeds}, for speeds"
    how = " (Obuchowski and Rockette 1995)" if "patients" in main.final_difference.parts else ""
    return (
        f"Intervals are 95 % intervals {over}{how}, paired by seed. Two comparisons were primary, the end and the "
        f"speed of {main.start.name} against {main.against}, and hold together (Holm, 5 %); the others were adjusted "
        "for their number within each topic (Dunnett or Bonferroni)."
    )


def _flow(card: dict[str, Any]) -> str:
    used = sum(card["images"].values())
    left_out = len(card.get("left_out", []))
    parts = _by_split(card["images"])
    return f"{used + left_out:,} images found, {left_out:,} left out, {used:,} used: {parts}."


def _partitions(card: dict[str, Any]) -> str:
    told = [
        f"{split}: " + ", ".join(f"{count:,} {name}" for name, count in classes.items())
        for split, classes in card.get("classes", {}).items()
        if card["images"].get(split)
    ]
    return f"Classes by partition: {'; '.join(told)}. Age and sex: {FOR_YOU}."
