"""The data card: what a reader must know about the images before believing a result."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from transfusion.tasks.listing import Listing
from transfusion.tasks.names import listed
from transfusion.tasks.pictures import Facts
from transfusion.tasks.task import Split


def data_card(
    listing: Listing, facts: Sequence[Facts], splits: Mapping[str, Split], left_out: Sequence[str]
) -> dict[str, Any]:
    """Describe a task with plain values that JSON can hold.

    Args:
        listing: what the layout found.
        facts: about every picture, in the order train, val, test.
        splits: the finished splits.
        left_out: what could not be used, one line each.

    Returns:
        ``layout``, ``source``; ``kind`` and ``positive`` as in ``Task``, so that predictions can be judged again
        from the card alone; ``images``, ``classes`` and ``patients`` per split (patients ``"unknown"`` where
        they are); ``patients_in_both`` and ``identical_files`` per pair of splits; how pictures are stored
        (``modes``, ``sizes``, ``bit_depth``); ``left_out``; ``other_files``; ``warnings`` as sentences.
    """
    shared = _shared({name: split.patients or () for name, split in splits.items()})
    identical = _shared(_digests(facts, splits))
    return {
        "layout": listing.layout,
        "source": listing.source,
        "kind": listing.kind,
        "positive": listing.positive,
        "splits_given": sorted({entry.split for entry in listing.entries if entry.split}),
        "images": {name: len(split) for name, split in splits.items()},
        "classes": {name: _class_counts(split.labels, listing.classes) for name, split in splits.items()},
        "patients": {
            name: "unknown" if split.patients is None else len(set(split.patients)) for name, split in splits.items()
        },
        "patients_in_both": shared,
        "identical_files": identical,
        "modes": dict(Counter(fact.mode for fact in facts).most_common()),
        "sizes": _sizes(facts),
        "bit_depth": 16 if any(fact.is_deep for fact in facts) else 8,
        "left_out": list(left_out),
        "other_files": dict(listing.other_files),
        "warnings": [
            *listing.notes,
            *_left_out(left_out),
            *_absent(splits, listing.classes),
            *(f"{count} patients are in both {pair} as the splits were given." for pair, count in shared.items()),
            *(f"{count} files are identical in {pair}." for pair, count in identical.items()),
        ],
    }


def _left_out(problems: Sequence[str]) -> list[str]:
    """What ``leave_out_bad`` left out, by sort, with an example of each."""
    sorts = Counter(problem.split(":")[0] for problem in problems)
    first = {sort: next(problem for problem in problems if problem.startswith(sort)) for sort in sorts}
    return [f"Left out: {count} x {first[sort]}{', ...' if count > 1 else ''}" for sort, count in sorts.items()]


def _absent(splits: Mapping[str, Split], classes: Sequence[str]) -> list[str]:
    """Classes that a split has no picture of: nothing is learnt of them there, or nothing can be judged."""
    told = []
    for name, what in (("train", "learnt"), ("test", "judged")):
        counts = _class_counts(splits[name].labels, classes) if len(splits[name]) else {}
        absent = [label for label, count in counts.items() if not count]
        if absent:
            told.append(f"The {name} split has no picture of {listed(absent)}, which cannot be {what}.")
        always = [label for label in _always(splits[name].labels, classes) if label not in absent]
        if always:
            told.append(f"Every picture of the {name} split has {listed(always)}, which cannot be {what}.")
    return told


def _always(labels: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Labels that no picture is without."""
    if labels.ndim == 1 or not len(labels):
        return []
    return [label for label, column in zip(classes, labels.T, strict=True) if not (column == 0).any()]


def _class_counts(labels: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    # NaN: not judged
    counts = np.bincount(labels, minlength=len(classes)) if labels.ndim == 1 else np.nansum(labels, axis=0)
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}


def _digests(facts: Sequence[Facts], splits: Mapping[str, Split]) -> dict[str, list[str]]:
    digests, start = defaultdict(list), 0
    for name, split in splits.items():
        digests[name] = [fact.digest for fact in facts[start : start + len(split)]]
        start += len(split)
    return digests


def _shared(members: Mapping[str, Sequence[str]]) -> dict[str, int]:
    counts = {f"{a} and {b}": len(set(members[a]) & set(members[b])) for a, b in combinations(members, 2)}
    return {pair: count for pair, count in counts.items() if count}


def _sizes(facts: Sequence[Facts]) -> dict[str, Any]:
    sizes = Counter((fact.width, fact.height) for fact in facts)
    by_area = sorted(sizes, key=math.prod)
    return {
        "smallest": list(by_area[0]),
        "largest": list(by_area[-1]),
        "most_common": list(sizes.most_common(1)[0][0]),
    }
