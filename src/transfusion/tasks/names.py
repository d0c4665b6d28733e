"""Names of files, columns and classes: their words, their order, and how they are printed."""

from __future__ import annotations

import re
from collections.abc import Iterable

SHOWN = 5


def words(name: str) -> list[str]:
    """The words of a name in lower case.

    Examples:
        >>> words("has_ruler") == words("HasRuler") == words("Has ruler")
        True
        >>> words("imagesTr"), words("KL2")
        (['images', 'tr'], ['kl', '2'])
    """
    return [word.lower() for word in re.findall(r"[^\W\d_a-z]+(?![a-z])|[^\W\d_a-z]?[^\W\d_A-Z]+|\d+", name)]


def plain(name: str) -> str:
    """A name as letters and digits alone, so that ``Image Index`` is ``image_index``.

    Examples:
        >>> plain("Image Index") == plain("image_index")
        True
    """
    return "".join(letter for letter in name.lower() if letter.isalnum())


def natural_order(name: str) -> list[tuple[bool, int, str]]:
    """Sort key that puts ``2`` before ``10``, and ``grade 2`` before ``grade 10``.

    Examples:
        >>> sorted(["grade 10", "grade 2"], key=natural_order)
        ['grade 2', 'grade 10']
    """
    parts = re.findall(r"\d{1,18}|\D+", name)  # Python reads no number of thousands of digits
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def shown(name: str) -> str:
    """A name that can be printed: bytes of file names that are not UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")


def listed(names: Iterable[object]) -> str:
    """The first few names for a message, and how many more there are.

    Examples:
        >>> listed(range(7))
        '0, 1, 2, 3, 4 and 2 more'
    """
    every = [shown(str(name)) for name in names]
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more
