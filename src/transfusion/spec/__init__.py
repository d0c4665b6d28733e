"""What to do, as frozen, validated values: the only input of a run or a study.

Specs round-trip through YAML and JSON. A run's id is a hash of what its spec says beyond the defaults of ``schema``,
so a changed setting is a new run and an unchanged one is never repeated. Where things lie on disk
(``TaskSpec.data``, a donor's path) is left out of the hash once their content is known by a fingerprint: moving a
folder does not make new runs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from transfusion.spec import schema
from transfusion.spec.task import Normalization as Normalization
from transfusion.spec.task import TaskSpec as TaskSpec
from transfusion.spec.train import TrainSpec as TrainSpec
from transfusion.spec.validated import Spec
from transfusion.terms import BatchNorm, Head


def _no_flag(value: Any) -> Any:
    """Refuse true and false, which are 1 and 0 to Python."""
    if isinstance(value, bool):
        raise ValueError("a seed is a whole number")
    return value


Seed = Annotated[int, BeforeValidator(_no_flag), Field(ge=0, lt=2**31)]
MOST_RUNS = 100_000  # of a study


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
            values["task"] = {"fingerprint": self.task.fingerprint}  # it stands for every setting of the task
        if self.donor_fingerprint:
            values["donor"] = None  # the content decides: a donor that moved is the same donor
        return schema.digest(values, schema.RUN)


class DonorRunSpec(Spec):
    """A donor that the study trains itself before anything else.

    Attributes:
        task: the images that it learns.
        train: how.
        scheme: what it starts from.
        seed: of its training; none of the study's, whose starts would begin with the donor's own random numbers.
    """

    task: TaskSpec
    train: TrainSpec = TrainSpec()
    scheme: SchemeSpec = SchemeSpec(name="kaiming")
    seed: Seed = 1_000_000


class RepresentationSpec(Spec):
    """Which representations of a study's networks are compared.

    Attributes:
        images: held-out images that networks are compared on, drawn once; fewer where the split is smaller.
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
    """A grid of runs: schemes x batch-norm modes x ``upto`` x sizes x seeds, and how its curves are judged.

    For combinations that are no grid give full ``SchemeSpec``s among ``schemes``. What says how curves are judged
    (``metric``, ``baseline``, ``margin``, ``pairs``) makes no new runs.

    Attributes:
        name: of the study and of its folder.
        task: images, labels and splits.
        model: the network, as in ``networks.models.build``.
        donor: where pretrained weights come from, or a run that the study begins with.
        schemes: what the runs start from.
        batch_norms: modes for the schemes that redraw a donor's weights (mean_var, sampling, shuffled).
        upto: stages up to which ``pretrained`` holds; None is the whole network.
        rest: schemes of the stages above ``upto``.
        head: scheme of every head.
        sizes: numbers of training images; a float of at most 1 is a share, None all of them.
        seeds: one training of each start and size per seed.
        train: how a network is trained.
        representations: how networks are compared stage by stage; runs of the largest size keep the weights for it.
        metric: ``auc``, ``accuracy``, ``auprc`` or ``auc:CLASS``.
        baseline: label of the start that the others are compared with.
        margin: the smallest difference that matters; the metric's own if not given.
        pairs: labels of starts to compare with each other as well.
        until: ``decided`` adds seeds until the main start is shown to end apart from the baseline, or to end equal and
            be faster, slower or as fast. What is claimed allows for the repeated looks.
        max_seeds: at which ``until`` gives up.
        examples: whether the page shows some test images.
        sensitivity: at which the page states the specificity.
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
    max_seeds: Annotated[int, Field(ge=3)] = 20  # the rule for stopping plans a look after each, from the third on
    examples: bool = True
    sensitivity: Annotated[float, Field(gt=0, le=1)] = 0.95

    @field_validator("name")
    @classmethod
    def _one_folder(cls, name: str) -> str:
        if not name or name in (".", "..") or set(name) & set("/\\\0"):
            raise ValueError("a study's name is the name of its folder, without slashes")
        return name

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):  # one training would count as two
            raise ValueError("a seed occurs twice; each is one training")
        return seeds

    @model_validator(mode="after")
    def _room_for_seeds(self) -> StudySpec:
        if self.until and len(self.seeds) > self.max_seeds:
            raise ValueError(f"there are {len(self.seeds)} seeds to begin with, and max_seeds is {self.max_seeds}")
        return self

    def with_another_seed(self) -> StudySpec:
        """One training more of everything."""
        # never one that was used, whatever gaps there are
        return self.with_values(seeds=(*self.seeds, max(self.seeds) + 1))

    @model_validator(mode="after")
    def _sizes_in_range(self) -> StudySpec:
        for size in self.sizes:
            # 1 is an image, 1.0 all of them
            if size is not None and (size <= 0 or (isinstance(size, float) and size > 1)):
                raise ValueError(f"a size of {size} is neither a count of images nor a share in (0, 1]")
        return self
