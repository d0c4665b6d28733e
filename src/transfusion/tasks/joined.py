"""Several labels in one cell: lists as programs print them, vectors of 0 and 1, and words joined by a separator."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec

SURE = "|;\n\t"
USUAL = f"{SURE},/+&"
CONJUNCTIONS = (" and ", " und ", " et ", " y ", " e ", " with ")
# these stand inside names too, and are asked about where every part is a label of its own
DOUBTFUL = (*CONJUNCTIONS, ":", "^", "~", "#", "\\", "_", "-", ".", " ")
NUMBER = re.compile(r"[+-]?[\d.]+")
LIST = re.compile(r"\[(.*)\]|\{(.*)\}|\((.*,.*)\)", re.DOTALL)
QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def items(text: str) -> list[str] | None:
    """The items of a list as Python, JSON or numpy print it; None for any other text.

    Examples:
        >>> items("['a', 'b']"), items("['a' 'b']"), items("[0 1 0]"), items("[Edema, Lung mass]"), items("a")
        (['a', 'b'], ['a', 'b'], ['0', '1', '0'], ['Edema', 'Lung mass'], None)
    """
    match = LIST.fullmatch(text.strip())
    if not match:
        return None
    inner = next((group for group in match.groups() if group is not None), "").strip()
    if QUOTED.search(inner) and not QUOTED.sub("", inner).strip(", \n"):
        return [single or double for single, double in QUOTED.findall(inner)]
    numbers = inner.replace(",", " ").split()
    if all(re.fullmatch(r"-?\d+\.?\d*", number) for number in numbers):
        return [re.sub(r"\.0*$", "", number) for number in numbers]
    return [part.strip() for part in inner.split(",") if part.strip()]


def vectors(texts: Sequence[str]) -> dict[str, list[str]] | None:
    """Cells that are vectors of 0 and 1 of one length, as a column for every place; None where they are not."""
    lists = [items(text) if text else None for text in texts]
    found = [one for one in lists if one is not None]
    if len(found) < sum(map(bool, texts)) or not found or len(found[0]) < 2:
        return None
    if len(set(map(len, found))) > 1 or not set().union(*found) <= {"0", "1"}:
        return None
    return {str(place): [one[place] if one else "" for one in lists] for place in range(len(found[0]))}


def separator(texts: Sequence[str], column: str, spec: TaskSpec) -> str | None:
    """What joins several labels in the cells of a column; None where each cell is one label.

    Raises:
        TaskError: if a cell may be one label or several.
    """
    if spec.label_separator == "none" or spec.kind not in (None, "multilabel"):
        return None
    if spec.label_separator:
        return spec.label_separator
    distinct = set(texts) - {""}
    for one in USUAL:
        cells = {text: parts(text, one) for text in distinct}
        joined = {text: found for text, found in cells.items() if len(found) > 1}
        if not joined:
            continue
        known = Counter(part for found in cells.values() for part in set(found))
        recurring = [[known[part] > 1 for part in found] for found in joined.values()]
        # a comma may belong to a name; parts that recur elsewhere show that it does not
        if one in SURE or all(map(all, recurring)):
            return one
        if any(map(any, recurring)):
            raise _doubt(min(joined), column, one)
    for one in DOUBTFUL:
        meant = all if one not in CONJUNCTIONS else any
        for text in sorted(text for text in distinct if not NUMBER.fullmatch(text)):
            found = parts(text, one)
            if len(found) > 1 and meant(part in distinct for part in found):
                raise _doubt(text, column, one)
    return None


def _doubt(text: str, column: str, one: str) -> TaskError:
    return TaskError(
        f"Is '{text}' in {column} one label or several joined by '{one}'? Say so with "
        f"--set task.label_separator='{one}' or --set task.label_separator=none."
    )


def parts(text: str, one: str) -> list[str]:
    """What a separator separates."""
    return [part.strip() for part in text.split(one) if part.strip()]
