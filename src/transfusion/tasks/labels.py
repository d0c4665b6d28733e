"""What the labels of a data set are: one set of rules for tables, arrays and folders."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from transfusion.errors import SpecError, TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks import joined
from transfusion.tasks.listing import Label
from transfusion.tasks.names import listed, natural_order, words
from transfusion.terms import Kind

GRADE_WORDS = frozenset(
    "grade grades grading level diagnosis severity kl dr stage score rating isup birads gleason icdr".split()  # noqa: SIM905
)
NOTHING = frozenset(("no finding", "no findings", "nofinding", "none", "no_finding"))
UNKNOWN = frozenset("unknown unk unlabelled unlabeled undetermined indeterminate unspecified unclassified tbd".split())  # noqa: SIM905
HIGHEST_GRADE = 10
ENOUGH_CLASSES = 20  # more than this many must have several pictures each
PER_CLASS = 5
LONGEST = 500  # characters of a class
YES = frozenset(("1", "true", "yes", "y", "x", "positive", "pos"))
NO = frozenset(("0", "false", "no", "n", "negative", "neg"))


@dataclass(frozen=True)
class Labels:
    """The labels of every row.

    Attributes:
        kind: of task.
        classes: in the order of the outputs.
        values: per row the class, or the tuple of all positive labels (multilabel); None for a row whose label is
            missing or cannot be used.
        unjudged: per row the labels that nobody judged (multilabel).
        dropped: per row whether the task's settings leave it out.
        notes: what a reader must know.
    """

    kind: Kind
    classes: tuple[str, ...]
    values: list[Label | None]
    unjudged: list[tuple[str, ...]]
    dropped: list[bool]
    notes: tuple[str, ...] = ()


def of_one(values: Sequence[str], column: str, spec: TaskSpec) -> Labels:
    """Labels in one column (or the folders).

    Several labels joined in a cell are ``multilabel``. Otherwise every value is a class: spellings that differ in
    case are one; whole numbers from 0 on in a column called grade, level, diagnosis or severity are ``graded``,
    grades that no picture has included.

    Args:
        values: one per picture; empty where missing.
        column: its name.
        spec: whose ``kind``, ``label_separator`` and ``uncertain`` overrule.

    Raises:
        TaskError: if the values are measurements or identifiers rather than classes, or may be joined labels.
    """
    vectors = joined.vectors([value.strip() for value in values])
    if vectors:
        return of_flags(vectors, spec)
    plain = {value: _plain(value) for value in set(values)}
    texts = [plain[value] for value in values]
    separator = joined.separator(texts, column, spec)
    if separator or spec.kind == "multilabel":
        return _joined(texts, separator)
    texts, notes = _one_spelling(_without_signs(texts))
    texts, dropped, doubt = _without_doubt(texts, spec)
    counts = Counter(text for text, gone in zip(texts, dropped, strict=True) if text and not gone)
    _refuse_long(counts, column)
    _refuse_measurements(counts, column, spec)
    notes += [
        f"{count} pictures are labelled {name}, which counts as a class."
        for name, count in counts.items()
        if _folded(name) in UNKNOWN
    ]
    classes, graded, gap = _grades(counts, column, spec)
    kind: Kind = spec.kind or ("graded" if graded else "binary" if len(classes) == 2 else "multiclass")
    wordy = [name for name in classes if not re.search(r"\d", name)]
    if kind == "graded" and wordy and len(classes) > 2:
        raise SpecError(
            f"task.kind 'graded' needs an order, and {listed(wordy)} in {column} have none. Put numbers into the names "
            "(0_none, 1_mild), or leave task.kind out."
        )
    if graded:
        texts = [str(int(text)) if text.isdecimal() else text for text in texts]  # 01 is grade 1
    return Labels(kind, classes, [text or None for text in texts], [()] * len(texts), dropped, (*notes, *doubt, *gap))


def _plain(value: str) -> str:
    """``1.0`` is 1, and ``['a', 'b']`` (a Python list as text) is ``a|b``."""
    value = re.sub(r"^(-?\d+)\.0+$", r"\1", value.strip())
    listed_labels = joined.items(value)
    return value if listed_labels is None else "|".join(listed_labels) or "No Finding"


def _joined(texts: Sequence[str], separator: str | None) -> Labels:
    cells = [joined.parts(text, separator) if separator else [text] if text else [] for text in texts]
    named = [tuple(part for part in cell if part.lower() not in NOTHING) for cell in cells]
    classes = tuple(sorted(set(chain.from_iterable(named)), key=natural_order))
    values: list[Label | None] = [name if text else None for name, text in zip(named, texts, strict=True)]
    return Labels("multilabel", classes, values, [()] * len(texts), [False] * len(texts))


def _without_signs(texts: Sequence[str]) -> list[str]:
    """Signs that stand for nothing (``-``, ``?``) are no labels, unless there is a plus beside the minus."""
    signs = {text for text in texts if text and not any(map(_says_something, text))}
    return list(texts) if "+" in signs else ["" if text in signs else text for text in texts]


def _says_something(letter: str) -> bool:
    return letter.isalnum() or unicodedata.category(letter) == "So"  # such as a pictogram


def _one_spelling(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names that differ in case, blanks or how accents are composed are one class, and so are words for yes and no."""
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    key = _answer if _answers(texts) else _folded
    for text, count in Counter(texts).items():
        spellings[key(text)][text] += count
    usual = {text: counts.most_common(1)[0][0] for counts in spellings.values() for text in counts}
    several = [sorted(counts) for key, counts in spellings.items() if len(counts) > 1 and key]
    notes = [f"{listed(names)} differ in spelling only and are one class." for names in several]
    return [usual[text] for text in texts], notes


def _folded(text: str) -> str:
    return re.sub(r"[\s_]+", " ", unicodedata.normalize("NFC", text)).casefold()


def _answers(texts: Sequence[str]) -> bool:
    """Whether all say yes or no, in more than one way (TRUE, yes, 1)."""
    said = {text.casefold() for text in texts} - {""}
    return said <= YES | NO and bool(said & YES) and bool(said & NO)


def _answer(text: str) -> str:
    return text and ("yes" if text.casefold() in YES else "no")


def _without_doubt(texts: Sequence[str], spec: TaskSpec) -> tuple[list[str], list[bool], list[str]]:
    """What -1 means: the negative of 1 where there is nothing else, otherwise a label in doubt."""
    present = set(texts) - {""}
    count = sum(text == "-1" for text in texts)
    if not count or present == {"-1", "1"}:
        return list(texts), [False] * len(texts), []
    if spec.uncertain != "ignore":
        value = {"zero": "0", "one": "1"}[spec.uncertain]
        return (
            [value if text == "-1" else text for text in texts],
            [False] * len(texts),
            [f"{count} labels of -1 count as {value} (task.uncertain)."],
        )
    note = f"{count} pictures labelled -1 are not judged and left out; task.uncertain changes that."
    return list(texts), [text == "-1" for text in texts], [note]


def _refuse_long(counts: Counter[str], column: str) -> None:
    longest = max(counts, key=len, default="")
    if len(longest) > LONGEST:
        raise TaskError(
            f"{column} has a label of {len(longest):,} characters ({longest[:20]} ...), which is no name of a class. "
            "Look for a quote that is not closed, or name the column of labels with --set task.label_column=NAME."
        )


def _refuse_measurements(counts: Counter[str], column: str, spec: TaskSpec) -> None:
    if spec.kind:
        return
    fractions = [text for text in counts if re.fullmatch(r"[+-]?\d*\.\d+(e[+-]?\d+)?|\d+e[+-]?\d+", text.lower())]
    too_many = len(counts) > max(ENOUGH_CLASSES, sum(counts.values()) / PER_CLASS)
    if fractions or too_many:
        raise TaskError(
            f"{column} has {len(counts)} different values, such as {listed(sorted(fractions or list(counts))[:3])}, "
            f"for {sum(counts.values())} pictures: these are no classes. Name the column of labels with "
            "--set task.label_column=NAME, or set task.kind=multiclass to treat each as a class."
        )


def _grades(counts: Counter[str], column: str, spec: TaskSpec) -> tuple[tuple[str, ...], bool, list[str]]:
    """The classes, whether they are grades, and a note on grades that no picture has."""
    whole = all(re.fullmatch(r"-?[0-9]{1,18}", text) for text in counts)  # 2 before 10
    classes = tuple(sorted(counts, key=int if whole else natural_order))
    numbers = sorted(int(text) for text in classes) if whole and all(map(str.isdecimal, classes)) else []
    named = bool(GRADE_WORDS & set(words(column)))
    _ask_about_worded_grades(classes, column, spec)
    if not numbers or numbers[-1] > HIGHEST_GRADE or not (spec.kind == "graded" or (named and len(numbers) > 2)):
        return classes, False, []
    if spec.kind not in (None, "graded"):
        return classes, False, []
    # grades from 1 on: where the disease begins cannot be known
    if numbers[0] and not (spec.kind and spec.positive):
        raise TaskError(
            f"The values of {column} are {listed(classes)}, without 0. If they are grades, say which is the first that "
            f"is positive: --set task.kind=graded --set task.positive={classes[-1]}; if not, task.kind=multiclass."
        )
    absent = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
    note = [f"No picture has grade {listed(map(str, absent))}; the scale keeps its place."] if absent else []
    return tuple(map(str, range(numbers[0], numbers[-1] + 1))), True, note


def _ask_about_worded_grades(classes: Sequence[str], column: str, spec: TaskSpec) -> None:
    """``R0, R1, R2`` in a column of grades have an order, which a task of classes would not know."""
    if spec.kind or len(classes) < 3 or not (GRADE_WORDS - {"diagnosis"}) & set(words(column)):
        return
    numbers = [re.findall(r"\d+", name) for name in classes]
    if (
        not all(map(str.isdecimal, classes))
        and all(len(found) == 1 for found in numbers)
        and len({n[0] for n in numbers}) > 2
    ):
        raise TaskError(
            f"Are {listed(classes)} in {column} grades? Say --set task.kind=graded, or multiclass if they are not."
        )


def of_flags(columns: Mapping[str, Sequence[str]], spec: TaskSpec) -> Labels:
    """Labels in several columns of 0 and 1.

    They are classes where every row has exactly one 1, and labels of their own otherwise. -1 is a label in doubt
    (``task.uncertain``), or 0 where a table has -1 and 1 alone. An empty cell is 0 where a column has no 0 or the
    table has -1 beside it, and not judged otherwise (``task.blank``).

    Args:
        columns: name -> one text per row.
        spec: whose ``kind``, ``uncertain`` and ``blank`` overrule.

    Raises:
        SpecError: if ``kind`` asks for classes and some row has none or several.
    """
    codes = {name: [_code(text) for text in texts] for name, texts in columns.items()}
    # a column that nobody filled in says nothing, and as 0 it would be a label without positives
    empty = [name for name, column in codes.items() if set(column) == {""}]
    codes = {name: column for name, column in codes.items() if name not in empty}
    found = set().union(*codes.values())
    judged = {name: [_judge(code, set(column), found, spec) for code in column] for name, column in codes.items()}
    classes = tuple(judged)
    rows = list(zip(*judged.values(), strict=True))
    positive = [tuple(name for name, code in zip(classes, row, strict=True) if code == "1") for row in rows]
    unjudged = [tuple(name for name, code in zip(classes, row, strict=True) if code == "") for row in rows]
    usable = [len(gap) < len(classes) and "?" not in row for gap, row in zip(unjudged, rows, strict=True)]
    notes = [*_flag_notes(codes, found, spec), *([f"{listed(empty)} is empty and not a label."] if empty else [])]
    one_each = [len(names) == 1 and not gap for names, gap in zip(positive, unjudged, strict=True)]
    exclusive = any(usable) and all(one for one, use in zip(one_each, usable, strict=True) if use)
    if spec.kind in ("binary", "multiclass", "graded") and not exclusive:
        raise SpecError(
            f"task.kind '{spec.kind}' needs exactly one 1 in every row of {listed(classes)}; "
            f"{sum(not one for one in one_each)} of {len(rows)} rows have none or several."
        )
    if spec.kind == "multilabel" or not exclusive:
        values: list[Label | None] = [names if use else None for names, use in zip(positive, usable, strict=True)]
        return Labels("multilabel", classes, values, unjudged, [False] * len(rows), tuple(notes))
    single: list[Label | None] = [names[0] if use else None for names, use in zip(positive, usable, strict=True)]
    kind: Kind = spec.kind or ("binary" if len(classes) == 2 else "multiclass")
    return Labels(kind, classes, single, [()] * len(rows), [False] * len(rows), tuple(notes))


def is_flag(text: str) -> bool:
    """Whether a cell says yes, no, in doubt or nothing.

    Examples:
        >>> [is_flag(text) for text in ("yes", "0", "-1", "", "cat")]
        [True, True, True, True, False]
    """
    return _code(text) != "?"


def is_yes(text: str) -> bool:
    """Whether a cell says yes.

    Examples:
        >>> is_yes("True"), is_yes("-1")
        (True, False)
    """
    return _code(text) == "1"


def _code(text: str) -> str:
    """``1``, ``0``, ``-1``, empty, or ``?`` for what is none of these."""
    text = _plain(text).lower()
    return "1" if text in YES else "0" if text in NO else text if text in ("", "-1") else "?"


def _judge(code: str, column: set[str], table: set[str], spec: TaskSpec) -> str:
    """1, 0, empty for not judged, or ``?``."""
    if code == "-1":
        return "0" if not table & {"0", ""} else {"ignore": "", "zero": "0", "one": "1"}[spec.uncertain]
    if code == "":
        return "0" if (spec.blank or _blank(column, table)) == "zero" else ""
    return code


def _blank(column: set[str], table: set[str]) -> str:
    return "zero" if "0" not in column or "-1" in table else "ignore"


def _flag_notes(codes: Mapping[str, Sequence[str]], found: set[str], spec: TaskSpec) -> list[str]:
    doubts = sum(column.count("-1") for column in map(list, codes.values())) if found & {"0", ""} else 0
    blanks = {name: column.count("") for name, column in ((name, list(column)) for name, column in codes.items())}
    zero = sum(n for name, n in blanks.items() if (spec.blank or _blank(set(codes[name]), found)) == "zero")
    rest = sum(blanks.values()) - zero
    word = {"ignore": "are not judged", "zero": "count as 0", "one": "count as 1"}[spec.uncertain]
    notes = [(doubts, f"labels of -1 {word} (task.uncertain)"), (zero, "empty labels count as 0 (task.blank)")]
    return [f"{n} {text}." for n, text in [*notes, (rest, "empty labels are not judged (task.blank)")] if n]
