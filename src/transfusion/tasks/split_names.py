"""Which split a folder, a table or a cell names, in the words that publishers use."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.names import listed, words

WORDS = {
    "train": ("train", "training", "trn", "tr", "trainval"),
    "val": ("val", "valid", "validation", "validate", "validating", "vali", "vld", "dev", "development"),
    "test": ("test", "testing", "tst", "ts"),
}
SPLIT_OF = {word: split for split, known in WORDS.items() for word in known}
# words short enough to mean something else: they count alone, and make no name look like a split's
SHORT = frozenset(("tr", "ts", "dev", "vali", "vld", "trn", "tst", "development"))
CUTTING = frozenset(("split", "splits", "fold", "folds", "kfold", "cv", "partition", "holdout", "heldout"))
FILLER = frozenset(
    "stage set sets images image imgs img data dataset split splits folder files file pictures samples subset part "  # noqa: SIM905
    "labels label annotations list input groundtruth".split()
)
GLUED = re.compile(rf"^({'|'.join(SPLIT_OF)})(?:set|data|images?|imgs?|folder|split|labels?)$")


@functools.cache
def split_of(name: str) -> str | None:
    """The split that a name means, if it means nothing else.

    Examples:
        >>> [split_of(name) for name in ("Train", "valid_images", "a. Training Set", "imagesTs", "Test_tubes", "tset")]
        ['train', 'val', 'train', 'test', None, None]
    """
    # "a. Training Set"
    telling = [word for word in _words(name) if word not in FILLER and not word.isdecimal() and len(word) > 1]
    if telling == ["train", "val"]:  # one part that its user is to cut
        return "train"
    found = {SPLIT_OF.get(word) for word in telling}
    return found.pop() if len(found) == 1 else None


def mentioned(name: str) -> str | None:
    """The one split that a name mentions among other words, as table names do (``stage_2_train_labels``).

    Examples:
        >>> mentioned("b. IDRiD_Disease Grading_Testing Labels"), mentioned("latest")
        ('test', None)
    """
    found = {SPLIT_OF[word] for word in _words(name) if word in SPLIT_OF and word not in SHORT}
    return split_of(name) or (found.pop() if len(found) == 1 else None)


def cuts(name: str) -> bool:
    """Whether a name speaks of cutting, in other words than those of the three splits.

    Examples:
        >>> [cuts(name) for name in ("fold1", "holdout_set", "scaffold")]
        [True, True, False]
    """
    return not CUTTING.isdisjoint(words(name))


def _words(name: str) -> list[str]:
    return [GLUED.sub(r"\1", word) for word in words(name)]


def looks_like_split(name: str) -> bool:
    """Whether a name mentions a split, or one but for a slip of the finger.

    Examples:
        >>> [looks_like_split(name) for name in ("tset", "Traning", "Train_2019", "drain", "text", "latest")]
        [True, True, True, False, False, False]
    """
    usual = [word for word in SPLIT_OF if word not in SHORT and len(word) > 3]
    return mentioned(name) is not None or any(_slipped(word, right) for word in _words(name) for right in usual)


def _slipped(word: str, right: str) -> bool:
    """One letter left out or put in, or two in the wrong order; another letter makes another word (``text``)."""
    if word[0] != right[0]:
        return False
    if len(word) == len(right):
        return word != right and sorted(word) == sorted(right)
    short, long = sorted((word, right), key=len)
    return any(long[:place] + long[place + 1 :] == short for place in range(len(long)))


class SplitNames:
    """What names mean as splits, the user's words first.

    Args:
        spec: whose ``split_names`` overrule.
    """

    def __init__(self, spec: TaskSpec) -> None:
        self._own = {name.strip().lower(): meaning for name, meaning in spec.split_names.items()}

    def of(self, name: str) -> str | None:
        """``train``, ``val``, ``test``, ``leave_out``, ``none`` (as the user says), or None where not known."""
        return self._own.get(name.strip().lower()) or split_of(name)

    def of_cell(self, text: str) -> str | None:
        """The same for a cell of a split column, where ``*`` stands for all that is not named."""
        return self.of(text) or self._own.get("*")

    def of_folders(self, places: Sequence[PurePosixPath]) -> list[str | None]:
        """The split of every picture by the folders that it lies in.

        Args:
            places: paths of pictures, relative to the data's folder.

        Returns:
            ``train``, ``val``, ``test``, ``leave_out``, or None: for all, where no folder names a split, else for
            pictures in no folder.

        Raises:
            TaskError: if folders name splits and one of them, or one beside them, is not understood.
        """
        found = [self._of_path(place) for place in places]
        if not any(split in SPLIT_OF.values() for split in found):
            self._refuse_near_misses(places)
            return found
        pairs = list(zip(places, found, strict=True))
        mixed = {place.parts[0] for place, split in pairs if split}
        odd = Counter(
            "/".join(place.parts[: 2 if place.parts[0] in mixed and len(place.parts) > 2 else 1])
            for place, split in pairs
            if split is None and len(place.parts) > 1
        )
        if odd:
            known = sorted({part for place in places for part in place.parts[:-1] if self.of(part)})
            own = min(odd).rpartition("/")[2]
            raise TaskError(
                f"{listed(f'{name}/ ({count} pictures)' for name, count in sorted(odd.items()))} "
                f"beside {listed(f'{name}/' for name in known)}: which split is that? {_say(own)}"
            )
        return found

    def of_files(self, stems: Sequence[str]) -> list[str | None]:
        """The split of every picture by its own name (``train_0001``), or None for all where names tell none.

        Raises:
            TaskError: if some names tell splits and others do not.
        """
        found = [mentioned(stem) for stem in stems]
        if len(set(found)) == 1 or set(found) == {"train", None}:  # or the pictures are of trains
            return [None] * len(stems)
        if None in found:
            example = next(stem for stem, split in zip(stems, found, strict=True) if split)
            raise TaskError(
                f"{len(found) - found.count(None)} of {len(found)} file names tell a split, as {example} does, and the "
                "others do not. Put the pictures into folders train and test, or cut anew with "
                "--set task.split_column=none."
            )
        return found

    def _of_path(self, place: PurePosixPath) -> str | None:
        found = dict.fromkeys(split for part in place.parts[:-1] if (split := self.of(part)) not in (None, "none"))
        if len(found) > 1 and "leave_out" not in found:
            raise TaskError(f"{place} lies in folders of two splits, {' and '.join(map(str, found))}. Move it to one.")
        return "leave_out" if "leave_out" in found else next(iter(found), None)

    def _refuse_near_misses(self, places: Sequence[PurePosixPath]) -> None:
        folders = {part for place in places for part in place.parts[:-1]}
        odd = sorted(name for name in folders if looks_like_split(name) and not self.of(name))
        told = {next((mentioned(part) for part in place.parts[:-1] if mentioned(part)), None) for place in places}
        if odd and (None in told or len(told) > 1):  # one split for all says nothing
            raise TaskError(f"Is {listed(f'{name}/' for name in odd)} a split? {_say(odd[0])}")


def _say(name: str) -> str:
    quoted = f"'{name}'" if re.search(r"[^\w*]", name) or not name or name.isdecimal() else name
    return f'Say so with --set task.split_names="{{{quoted}: train}}" (or val, test; none: it is no split; leave_out).'
