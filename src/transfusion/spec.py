"""What to do, as frozen, validated values: the only input of a run or a study.

Specs round-trip through YAML and JSON. A run's id is a hash of what its spec says beyond the defaults of ``schema``,
so a changed setting is a new run and an unchanged one is never repeated. Where things lie on disk
(``TaskSpec.data``, a donor's path) is left out of the hash once their content is known by a fingerprint: moving a
folder does not make new runs.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from transfusion import schema
from transfusion.terms import BatchNorm, Head, Interpolation, Kind, Layout, SplitMeaning
from transfusion.validated import Spec

Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
MOST_RUNS = 100_000  # of a study


class Normalization(Spec):
    """What is subtracted from pixels and what they are divided by, per channel, in units where white is 1.

    Attributes:
        mean, std: three values, or one for every channel. For grey images three become the one with which a filter
            that weighs the colours equally responds as it does to the same image in three channels.
        source: where they come from, for people.

    Examples:
        >>> Normalization(mean=(0.5,), std=(0.5,)).for_channels(3).mean
        (0.5, 0.5, 0.5)
        >>> Normalization(mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.2)).for_channels(1).mean
        (0.5,)
    """

    mean: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1, max_length=3)]
    std: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1, max_length=3)]
    source: str = "settings"

    @model_validator(mode="after")
    def _one_or_three(self) -> Normalization:
        if len(self.mean) != len(self.std) or len(self.mean) == 2:
            raise ValueError(f"mean and std need 3 values each, or 1; got {len(self.mean)} and {len(self.std)}")
        return self

    def for_channels(self, channels: int) -> Normalization:
        """The same for images of 1 or 3 channels."""
        if channels == len(self.mean):
            return self
        if channels == 3:
            return self.with_values(mean=self.mean * 3, std=self.std * 3)
        weights = [1 / std for std in self.std]
        mean = sum(m * w for m, w in zip(self.mean, weights, strict=True)) / sum(weights)
        return self.with_values(mean=(round(mean, 12),), std=(round(len(weights) / sum(weights), 12),))


# tagged, so that an error speaks of the form that was given; tags begin with "=" and are not shown
Normalize = Annotated[
    Annotated[Literal["donor", "imagenet", "task"], Tag("=name")] | Annotated[Normalization, Tag("=values")],
    Discriminator(lambda given: "=values" if isinstance(given, (dict, Normalization)) else "=name"),
]


class TaskSpec(Spec):
    """Images, labels, splits: what the networks are to learn.

    Attributes:
        data: folder, ``.npz`` or ``.csv`` file, or ``embedded:NAME`` (``fundus``, ``natural``).
        layout: how ``data`` is laid out; ``auto`` looks.
        image_size: side in pixels that every image is scaled to (shorter side, then centre crop); None keeps
            the size of array data and scales picture files to 224.
        channels: 1 (grey), 3 (colour) or None: grey only if every picture is stored as grey.
        labels: CSV file with one row per image (or several, joined by commas), where it is not found by itself.
        image_column, label_column, patient_column, split_column: columns of that file, where they are not found by
            themselves; ``none`` for the last two says that there is none.
        split_names: what names of splits mean that are not the usual ones: folder, cell or table -> ``train``,
            ``val``, ``test``, ``none`` (it names no split) or ``leave_out``; ``*`` stands for every other cell.
        leave_out: pictures not to use, as glob patterns on their path below ``data`` (``*_mask.png``, ``backup/*``).
        label_pattern: regular expression on the path below ``data`` whose first group (or whole match) is the class.
        label_separator: what joins several labels in one cell; ``none`` says that a cell is one label.
        uncertain: what -1 in a column of 0 and 1 counts as; ``ignore`` leaves that label of that picture unjudged.
        blank: what an empty cell in such a column counts as; None is ``zero`` where the table has no 0 beside it or
            marks doubt by -1 (CheXpert's way), else ``ignore``.
        patient_pattern: regular expression on the path below ``data`` (without suffix) whose first group (or whole
            match) is the patient; ``none`` says that names and folders do not tell patients.
        window: lowest and highest value shown of 16-bit pictures and of DICOM files (there after rescaling, as in
            Hounsfield units), where the file's own window or the range that is used is not meant.
        max_megapixels: pictures with more pixels are refused, for they take that many megabytes of memory three times.
        kind: of task, where the layout's choice (see ``tasks.layouts``) is not what is meant.
        positive: class (binary) or first grade (graded) that counts as positive, where it is not found by itself.
        val_fraction, test_fraction: share of patients cut off where the split is not given. A validation split picks
            the evaluation at which a run is judged; none is cut unless it is asked for.
        split_seed: decides that cut.
        leave_out_bad: leave unreadable files and unusable labels out (and list them) instead of stopping.
        normalize: mean and standard deviation that images are normalised by, the same for every start of a study:
            those that the ``donor`` was trained with (without a donor, the task's own), ``imagenet``'s, those of the
            ``task``'s training images, or ``{mean: [..], std: [..]}`` in units where white is 1.
        interpolation: how images are scaled, always with antialiasing; None is the donor's way, else bilinear.
        num_images: images to draw per split of an ``embedded`` task; ignored elsewhere.
        fingerprint: hash of content and settings, filled in once the data have been seen.
    """

    data: str = "embedded:fundus"
    layout: Layout = "auto"
    image_size: Annotated[int, Field(ge=8, le=4096)] | None = None
    channels: Literal[1, 3] | None = None
    labels: str | None = None
    image_column: str | None = None
    label_column: str | None = None
    patient_column: str | None = None
    split_column: str | None = None
    split_names: dict[str, SplitMeaning] = Field(default_factory=dict)
    leave_out: tuple[str, ...] = ()
    label_pattern: str | None = None
    label_separator: str | None = None
    uncertain: Literal["ignore", "zero", "one"] = "ignore"
    blank: Literal["ignore", "zero"] | None = None
    patient_pattern: str | None = None
    window: tuple[int, int] | None = None
    max_megapixels: Annotated[int, Field(ge=1)] = 179
    kind: Kind | None = None
    positive: str | None = None
    val_fraction: Fraction = 0.0
    test_fraction: Fraction = 0.2
    split_seed: Annotated[int, Field(ge=0)] = 0
    leave_out_bad: bool = False
    normalize: Normalize = "donor"
    interpolation: Interpolation | None = None
    num_images: tuple[Count, Count, Count] = (2000, 200, 800)
    fingerprint: str | None = None


NUM_EVEN = 20  # evaluations of a run, were all as far apart as the later ones
EARLY_RATIO = 1.25  # of the steps of two early evaluations
EARLIEST = 200  # part of a run that passes before the first


class TrainSpec(Spec):
    """How a network is trained.

    Attributes:
        optimizer: ``adam``, ``adamw`` or ``sgd`` (with ``momentum``).
        lr: peak learning rate.
        schedule: ``constant``; ``step`` (times ``gamma`` at each of ``milestones``); ``cosine`` (to 0 at the end).
        milestones: fractions of the run, in (0, 1); with ``epochs`` also epochs, from 1 on.
        warmup_steps: linear rise from 0 at the start.
        steps: optimiser steps.
        epochs: passes over the run's own training images, in place of ``steps``: runs of several data sizes then get
            as many passes each.
        batch_size: examples per step, over all devices.
        eval_every: steps between evaluations; the first is at step 0, the last at ``steps``. None is dense at first and
            even later, see ``evaluations``.
        eval_epochs: passes between evaluations, in place of ``eval_every``; needs ``epochs``.
        eval_split: the split that the curves are measured on.
        augment: ``none``; ``flip`` (horizontal); ``crop`` (shifts of up to an eighth with reflected borders, and
            flip); ``pad_crop`` (the same with black borders); ``resized_crop`` (a random part scaled to the whole, and
            flip); ``fundus`` (flips both ways, brightness, contrast, saturation).
        precision: ``auto`` picks what the processor does well, and records it.
    """

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Annotated[float, Field(gt=0, lt=1e3)] = 3e-4
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "step", "cosine"] = "constant"
    milestones: tuple[Annotated[float, Field(gt=0)], ...] = (0.5, 0.75)
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    steps: Annotated[int, Field(ge=1)] = 1000
    epochs: Annotated[float, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = 32
    eval_every: Annotated[int, Field(ge=1)] | None = None
    eval_epochs: Annotated[float, Field(gt=0)] | None = None
    eval_split: Literal["val", "test"] = "test"
    augment: Literal["none", "flip", "crop", "pad_crop", "resized_crop", "fundus"] = "none"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    @model_validator(mode="after")
    def _epochs_where_needed(self) -> TrainSpec:
        late = [milestone for milestone in self.milestones if milestone >= (self.epochs or 1)]
        if late:
            known = f"{self.epochs:g} epochs" if self.epochs else "the whole run, which is 1 without train.epochs"
            raise ValueError(f"a milestone of {late[0]:g} is not within {known}")
        if self.eval_epochs and not self.epochs:
            raise ValueError("eval_epochs needs train.epochs; give eval_every in steps")
        return self

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Steps at which a run is evaluated, the same for all runs of a study.

        Without ``eval_every`` each is a quarter later than the one before, until they are a twentieth of the run apart,
        and evenly from there: a start that is four times as fast is then timed about as sharply as the others.

        Examples:
            >>> TrainSpec(steps=100).evaluations
            (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100)
            >>> TrainSpec(steps=25, eval_every=10).evaluations
            (0, 10, 20, 25)
        """
        if self.eval_every is not None:
            return (*range(0, self.steps, self.eval_every), self.steps)
        apart = max(1, round(self.steps / NUM_EVEN))
        found = [0, max(1, self.steps // EARLIEST)]
        while (later := max(found[-1] + 1, round(found[-1] * EARLY_RATIO))) - found[-1] < apart:
            found.append(later)
        even = range(apart * math.ceil(found[-1] / apart + 0.5), self.steps, apart)
        return (*(step for step in found if step < self.steps), *even, self.steps)

    def of_size(self, num_images: int) -> TrainSpec:
        """The same settings in optimiser steps, for a run that trains on ``num_images``.

        Examples:
            >>> train = TrainSpec(epochs=200, eval_epochs=1, milestones=(60, 120), batch_size=128).of_size(5000)
            >>> train.steps, train.eval_every, train.milestones
            (7812, 39, (0.3, 0.6))
        """
        if self.epochs is None:
            return self
        epoch = num_images / self.batch_size
        fractions = tuple(each if each < 1 else each / self.epochs for each in self.milestones)
        every = self.eval_every if self.eval_epochs is None else max(1, round(self.eval_epochs * epoch))
        steps = max(1, round(self.epochs * epoch))
        return self.with_values(steps=steps, eval_every=every, milestones=fractions, epochs=None, eval_epochs=None)


class SchemeSpec(Spec):
    """Where a run starts: a scheme, how it treats batch norm and the stages above ``upto``, the head's scheme."""

    name: str = "pretrained"
    batch_norm: BatchNorm = "identity"
    upto: str | None = None
    rest: str = "random"
    head: Head = "default"

    @property
    def label(self) -> str:
        """The one name of this start, whatever else is in a study: its scheme, and what is unusual about it.

        A whole ``pretrained`` network keeps its batch norm whatever the mode; elsewhere identity is usual.

        Examples:
            >>> SchemeSpec(upto="layer2").label, SchemeSpec(name="mean_var", batch_norm="mean_var").label
            ('pretrained upto layer2', 'mean_var bn=mean_var')
            >>> SchemeSpec(name="random", head="kaiming").label
            'random head=kaiming'
        """
        parts = [self.name]
        copied = self.name == "pretrained" and self.upto is None
        if self.batch_norm != "identity" and not copied:
            parts.append(f"bn={self.batch_norm}")
        if self.upto is not None:
            parts.append(f"upto {self.upto}")
            parts.append(f"rest {self.rest}" if self.rest != "random" else "")
        if self.head != "default":
            parts.append(f"head={self.head}")
        return " ".join(filter(None, parts))


class RunSpec(Spec):
    """One training: model x scheme x data size x seed.

    Attributes:
        donor: where pretrained weights come from, or None.
        donor_fingerprint: hash of the donor's content; stands for ``donor`` in the id where known.
        size: training images used (a stratified, nested subset), or None for all.
    """

    task: TaskSpec
    model: str
    donor: str | None = None
    donor_fingerprint: str | None = None
    scheme: SchemeSpec = SchemeSpec()
    size: Annotated[int, Field(ge=1)] | None = None
    seed: Seed = 0
    train: TrainSpec = TrainSpec()

    @property
    def label(self) -> str:
        """Its start, size and seed.

        Examples:
            >>> RunSpec(task=TaskSpec(), model="resnet18", scheme=SchemeSpec(name="random"), size=100, seed=3).label
            'random, 100 images, seed 3'
        """
        return ", ".join([self.scheme.label, *([f"{self.size} images"] if self.size else []), f"seed {self.seed}"])

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stand for every setting of this run; see ``schema``."""
        values = self.model_dump(mode="json")
        if self.task.fingerprint:
            values["task"] = {"fingerprint": self.task.fingerprint}
        if self.donor_fingerprint:
            values["donor"] = None
        return schema.digest(values, schema.RUN)


class DonorRunSpec(Spec):
    """A donor that the study trains itself before anything else.

    Its seed should be none of the study's: starts of the same seed would begin with the donor's own random numbers.
    """

    task: TaskSpec
    train: TrainSpec = TrainSpec()
    scheme: SchemeSpec = SchemeSpec(name="kaiming")
    seed: Seed = 1_000_000


class RepresentationSpec(Spec):
    """What a study finds out about what its networks make of images.

    Attributes:
        images: held-out images that all networks look at, drawn once; fewer where the split is smaller.
        positions: positions per image and stage; see ``transfusion.compare``.
        measures: similarity measures; the first is the one that figures and verdict speak of.
        stage: whose activations are shown as pictures; None is the first.
    """

    images: Annotated[int, Field(ge=2)] = 500
    positions: Annotated[int, Field(ge=1)] | None = 16
    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("cca", "linear_cka")
    stage: str | None = None

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that stand for these settings; see ``schema``."""
        return schema.digest(self.model_dump(mode="json"), schema.REPRESENTATIONS)


class StudySpec(Spec):
    """A grid of runs: schemes x batch-norm modes x ``upto`` x sizes x seeds.

    ``batch_norms`` apply to the schemes that redraw a donor's weights (mean_var, sampling, shuffled). A stage in
    ``upto`` applies to ``pretrained`` (None is the whole network) and every entry of ``rest`` to the stages
    above it; ``head`` is the scheme of every head. A size of at most 1.0 written as a float is a share of the training
    images. For any other combination give a full ``SchemeSpec`` among ``schemes``. With ``representations`` the
    networks are compared stage by stage, and runs of the largest size keep the weights that this takes.

    The last four say how curves are judged, and make no new runs: ``metric`` (``auc``, ``accuracy``, ``auprc`` or
    ``auc:CLASS``), ``baseline`` (label of the start that the others are compared with), ``margin`` (the smallest
    difference that matters; the metric's own if not given) and ``pairs`` of labels to compare as well.

    ``until="decided"`` adds seeds one by one until the main start is shown to end apart from the baseline, or to end
    equal and be faster, slower or as fast, or there are ``max_seeds``. What is claimed allows for the repeated looks.
    """

    name: str = "study"
    task: TaskSpec = TaskSpec()
    model: str = "resnet18"
    donor: str | DonorRunSpec | None = None
    schemes: Annotated[tuple[str | SchemeSpec, ...], Field(min_length=1)] = ("pretrained", "mean_var", "random")
    batch_norms: Annotated[tuple[BatchNorm, ...], Field(min_length=1)] = ("identity",)
    upto: Annotated[tuple[str | None, ...], Field(min_length=1)] = (None,)
    rest: Annotated[tuple[str, ...], Field(min_length=1)] = ("random",)
    head: Head = "default"
    sizes: Annotated[tuple[int | float | None, ...], Field(min_length=1)] = (None,)
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=MOST_RUNS)] = (0, 1, 2)
    train: TrainSpec = TrainSpec()
    representations: RepresentationSpec | None = None
    metric: str = "auc"
    baseline: str = "random"
    margin: Annotated[float, Field(gt=0)] | None = None
    pairs: tuple[tuple[str, str], ...] | None = None
    until: Literal["decided"] | None = None
    max_seeds: Annotated[int, Field(ge=3)] = 20

    @field_validator("name")
    @classmethod
    def _one_folder(cls, name: str) -> str:
        if not name or name in (".", "..") or set(name) & set("/\\\0"):
            raise ValueError("a study's name is the name of its folder, without slashes")
        return name

    @model_validator(mode="after")
    def _room_for_seeds(self) -> StudySpec:
        if self.until and len(self.seeds) > self.max_seeds:
            raise ValueError(f"there are {len(self.seeds)} seeds to begin with, and max_seeds is {self.max_seeds}")
        return self

    def with_another_seed(self) -> StudySpec:
        """One training more of everything."""
        return self.with_values(seeds=(*self.seeds, max(self.seeds) + 1))

    @model_validator(mode="after")
    def _sizes_in_range(self) -> StudySpec:
        for size in self.sizes:
            if size is not None and (size <= 0 or (isinstance(size, float) and size > 1)):
                raise ValueError(f"a size of {size} is neither a count of images nor a share in (0, 1]")
        return self
