"""Images, labels, splits, as settings: what networks are to learn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from transfusion.spec.validated import Spec
from transfusion.terms import Crop, Interpolation, Kind, SplitMeaning

Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0)]


class Normalization(Spec):
    """What is subtracted from pixels and what they are divided by, per channel, in units where white is 1.

    Attributes:
        mean, std: three values, or one for every channel. For grey images three become the one with which a filter
            that weighs the colours equally responds as it does to the same image in three channels.
        source: where they come from, in words.

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
        # sum((x - m_i) / s_i) over three equal channels is linear in x: its zero and its slope are these
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
        layout: how ``data`` is laid out, by a name of ``tasks.layouts.READERS`` or ``embedded``; ``auto`` looks.
        image_size: side in pixels that every image is scaled to (shorter side, then centre crop); None keeps
            the size of array data and scales picture files to 224.
        crop: what of a picture is scaled: its centre ``square``, or the square around the ``circle`` of a fundus
            photograph (see ``tasks.disc``; needs OpenCV).
        channels: 1 (grey), 3 (colour) or None: grey only if every picture is stored as grey.
        labels: CSV file with one row per image (or several, joined by commas), where it is not found automatically.
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
            match) is the patient; ``none`` says that names and folders do not identify patients.
        window: lowest and highest value shown of 16-bit pictures and of DICOM files (there after rescaling, as in
            Hounsfield units), where the file's own window or the range that is used is not meant.
        max_megapixels: pictures with more pixels are refused, for they take that many megabytes of memory three times.
        kind: of task, where the layout's choice (see ``tasks.layouts``) is not what is meant.
        positive: class (binary) or first grade (graded) that counts as positive, where it is not found automatically.
        val_fraction, test_fraction: share of patients cut off where the split is not given. A validation split picks
            the evaluation at which a run is judged; none is cut by default.
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
    layout: str = "auto"
    image_size: Annotated[int, Field(ge=8, le=4096)] | None = None
    crop: Crop = "square"
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

    @model_validator(mode="after")
    def _window_rises(self) -> TaskSpec:
        if self.window and self.window[0] >= self.window[1]:
            raise ValueError(f"window rises from the lowest value shown to the highest; got {list(self.window)}")
        return self
