"""Which column of a label table holds what, by usual names and by content; what is unclear is a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks import labels
from transfusion.tasks.layouts import groups
from transfusion.tasks.layouts.match import PictureIndex
from transfusion.tasks.layouts.sheet import is_row_number, need_column
from transfusion.tasks.names import listed, plain, words
from transfusion.tasks.split_names import CUTTING, SHORT, SPLIT_OF, SplitNames, looks_like_split, mentioned

# ruff: noqa: SIM905
IMAGE_COLUMNS = (
    "image filename file path filepath imageid idcode imagename imagepath imageindex imgid dicomid xrayimagename id"
).split()
LABEL_COLUMNS = (
    "label labels class target grade level diagnosis category dx findinglabels diagnostic classname labelname"
).split()
LABEL_WORDS = frozenset("label labels class target grade level diagnosis category dx finding findings".split())
SPLIT_COLUMNS = frozenset(
    "split splits subset partition set fold folds kfold cvfold phase datasettype traintest trainvaltest istrain istest "
    "isval isvalid istraining train test val usage".split()
)
SPLIT_WORDS = frozenset(SPLIT_OF) - SHORT | CUTTING
META_WORDS = frozenset(
    "age sex male female gender smoker smoking smoke race ethnicity height weight bmi ruler hair marker device "
    "scanner camera hospital site center centre view frontal lateral ap pa portable laterality left right eye side "
    "date time year month visit birth has is pregnant history family duplicate width rows columns modality "
    "localization location region anatom x y box bbox rad reader rater annotator grader expert observer radiologist "
    "doctor alive dead died survival icu inpatient pediatric pixel spacing url source".split()
)
FINDINGS = frozenset(
    plain(name)
    for name in (
        "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
        "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices,Effusion,Emphysema,Fibrosis,"
        "Hernia,Infiltration,Mass,Nodule,Pleural Thickening,Aortic enlargement,Calcification,Clavicle fracture,"
        "Enlarged PA,ILD,Lung cavity,Lung cyst,Mediastinal shift,Nodule/Mass,Pulmonary fibrosis,Rib fracture,"
        "Other lesion,COPD,Lung tumor,Tuberculosis,Other disease,Other diseases"
    ).split(",")
)
MOST_SPLITS = 12  # values of a column that may be one of splits
SAMPLE = 200  # rows that show which column names the pictures


def hits(table: pd.DataFrame, index: PictureIndex) -> dict[str, int]:
    """How many rows of a sample name pictures, for each column that has such rows."""
    sample = table.iloc[:: max(len(table) // SAMPLE, 1)]  # from all over: the first rows may all be of one folder
    counts = {str(column): sum(map(bool, index.find(list(sample[column])))) for column in table.columns}
    return {column: count for column, count in counts.items() if count}


def image_column(spec: TaskSpec, frame: pd.DataFrame, index: PictureIndex, source: str) -> str:
    """The column that names pictures: the one with most hits, among equals the usual one."""
    if spec.image_column:
        return need_column(frame, spec.image_column)
    counts = hits(frame, index)
    refuse_headless(frame, index, source)
    if not counts:
        raise TaskError(
            f"No column of {source} names pictures. Name it with task.image_column; "
            f"its columns are {', '.join(frame.columns)}."
        )
    rank = {name: place for place, name in enumerate(IMAGE_COLUMNS)}
    # a usual name breaks ties only
    return max(counts, key=lambda column: (counts[column], -rank.get(plain(column), len(rank))))


def refuse_headless(frame: pd.DataFrame, index: PictureIndex, source: object) -> None:
    """A table that begins with its first picture.

    Raises:
        TaskError: if it is one.
    """
    if any(index.find(list(map(str, frame.columns)))):
        raise TaskError(f"The first line of {source} names a picture, so it has no header. Give its columns names.")


def split_column(spec: TaskSpec, frame: pd.DataFrame, image: str) -> str | None:
    """The column that gives splits; one that looks like it and is not understood is an error."""
    if spec.split_column == "none":
        return None
    if spec.split_column:
        return need_column(frame, spec.split_column)
    names = SplitNames(spec)
    labels_by_name = _column(frame, LABEL_COLUMNS)
    usual = [c for c in map(str, frame.columns) if plain(c) in SPLIT_COLUMNS and c not in (spec.label_column, image)]
    others = [c for c in map(str, frame.columns) if c not in (*usual, image, labels_by_name, spec.label_column)]
    telling = [column for column in others if _tells_splits(column, set(frame[column].unique()), names)]
    candidates = [*usual, *telling]
    whole = [column for column in candidates if all(names.of_cell(text) for text in set(frame[column]))]
    if len(whole) == 1 or (whole and all(frame[column].equals(frame[whole[0]]) for column in whole)):
        folds = all(frame[column].str.fullmatch(r"\d*").all() for column in candidates if column not in whole)
        if folds:
            return whole[0]
    if not candidates:
        return None
    raise TaskError(ask_for_split(frame, candidates, names))


def _tells_splits(column: str, values: set[str], names: SplitNames) -> bool:
    """Whether a column of few values mentions splits in its name, or names them in its cells."""
    if len(values) > MOST_SPLITS:
        return False
    by_name = SPLIT_WORDS & {*words(column), plain(column)} and not LABEL_WORDS & set(words(column))
    mentions = {mentioned(value) or "?" for value in values if looks_like_split(value) and value.lower() not in SHORT}
    return bool(by_name or mentions - {"val"}) or len({names.of(value) for value in values} - {None}) > 1


def ask_for_split(frame: pd.DataFrame, columns: Sequence[str], names: SplitNames) -> str:
    """The question that a column of splits raises."""
    column = columns[0]
    if len(columns) > 1 and all(names.of_cell(text) for text in set(frame[column])):
        how = f"--set task.split_column={column}, or none"
        return f"{listed(columns)} all look like splits and differ. Name one with {how}."
    counts = frame[column].value_counts()
    odd = [f"'{value}' ({count} rows)" for value, count in counts.items() if not names.of_cell(str(value))]
    odd_one, other = _meaning(column, set(frame[column].unique()), names)
    meaning = f"{{'{odd_one[0]}': {odd_one[1]}, '*': {other}}}"
    return (
        f"The column {column} looks like the split, but {listed(odd)} is not a known split. Say what it means with "
        f'--set task.split_column={column} --set task.split_names="{meaning}" (or val, leave_out), '
        "or that it is no split with --set task.split_column=none."
    )


def _meaning(column: str, values: set[str], names: SplitNames) -> tuple[tuple[str, str], str]:
    """An example of what to say: in ``is_test`` 1 is the test."""
    yes = sorted(value for value in values if labels.is_yes(value))
    split = mentioned(column) or "test"
    if len(yes) == 1 and all(map(labels.is_flag, values)):
        return (yes[0], split), "test" if split == "train" else "train"
    return (min(value for value in values if not names.of_cell(value)), "test"), "train"


def label_columns(spec: TaskSpec, frame: pd.DataFrame, source: str, taken: Sequence[str | None]) -> list[str]:
    """The column of labels, or several of 0 and 1.

    Raises:
        TaskError: if that is not plain to see.
    """
    if spec.label_column:
        return [need_column(frame, name.strip()) for name in spec.label_column.split(",")]
    free = [str(c) for c in frame.columns if c not in taken and not is_row_number(str(c)) and frame[c].ne("").any()]
    free = [column for column in free if groups.rank(column) is None]
    usual = sorted(
        (column for column in free if plain(column) in LABEL_COLUMNS), key=lambda c: LABEL_COLUMNS.index(plain(c))
    )
    if usual:
        _refuse_other_labels(frame, usual, source)
        return usual[:1]
    flags = [column for column in free if frame[column].map(labels.is_flag).all()]
    if len(flags) > 1 and _all_labels(frame, flags, free):
        return flags
    named = [column for column in free if LABEL_WORDS & set(words(column)) and plain(column) not in FINDINGS]
    if len(named) == 1:
        return named
    if named and len({tuple(frame[column].factorize()[0]) for column in named}) == 1:  # a class and its number
        return [max(named, key=lambda column: frame[column].str.contains("[A-Za-z]").sum())]
    if len(free) == 1 and not META_WORDS & set(words(free[0])):
        return free
    raise TaskError(
        f"{source} does not show which column has the labels. Name it (or several, joined by commas) with "
        f"task.label_column; its columns are {', '.join(frame.columns)}."
    )


def _refuse_other_labels(frame: pd.DataFrame, usual: Sequence[str], source: str) -> None:
    """Two columns of labels must be one coarser than, or the same as, the other."""
    for other in usual[1:]:
        both = frame[[usual[0], other]].drop_duplicates()
        both = both[both.ne("").all(axis=1)]
        if both[usual[0]].duplicated().any() and both[other].duplicated().any():
            raise TaskError(
                f"{source} has labels in {usual[0]} and other ones in {other}. Say which are meant with "
                f"--set task.label_column='{usual[0]}' or '{other}'."
            )


def unused_labels(frame: pd.DataFrame, used: Sequence[str], spec: TaskSpec) -> list[str]:
    """A note on a finer or coarser column of labels beside the one that is used."""
    if len(used) > 1 or spec.label_column:
        return []
    others = [
        str(c) for c in frame.columns if plain(str(c)) in LABEL_COLUMNS and c not in used and frame[c].ne("").any()
    ]
    finer = [other for other in others if frame[other].nunique() != frame[used[0]].nunique()]
    return [f"Labels are the column {used[0]}, not {listed(finer)}; task.label_column changes that."] if finer else []


def _all_labels(frame: pd.DataFrame, flags: Sequence[str], free: Sequence[str]) -> bool:
    """Whether columns of 0 and 1 are findings, or at least stand alone and none is about the person or the picture."""
    if {plain(column) for column in flags} <= FINDINGS:
        return True
    if any(LABEL_WORDS & set(words(column)) for column in flags):  # class_0 and class_1, or what two readers said
        return bool((frame[list(flags)].map(labels.is_yes).sum(axis=1) == 1).all()) and len(flags) == len(free)
    return len(flags) == len(free) and not any(META_WORDS & set(words(column)) for column in flags)


def _column(table: pd.DataFrame, usual: Iterable[str]) -> str | None:
    """The first column that goes by one of these names."""
    by_name = {plain(str(column)): str(column) for column in table.columns}
    return next((by_name[name] for name in usual if name in by_name), None)
