"""What can go wrong, as one tree.

Every message says what is wrong, what was found, what is needed and what to do next. Each class is also a
subclass of the builtin that it refines, so ``except ValueError`` keeps working for callers who never heard of
this module. The command line prints the message as one line and exits with 2; anything outside this tree is a
bug and keeps its traceback.

::

    TransfusionError
    ├── SpecError (ValueError)            a setting is missing, malformed or contradicts another
    ├── UnknownNameError (LookupError)    no such scheme, model, stage, layout ...; lists the known ones
    ├── InputError (ValueError)           an array, tensor or frame that cannot be worked on
    ├── DonorError (ValueError)           a donor cannot be found or read
    │   ├── DonorMismatchError            its tensors do not fit the model
    │   └── UnsafeFileError               it would need free unpickling
    ├── TaskError (ValueError)            the images or labels cannot be used
    │   └── BadDataError                  a list of everything wrong with the files and labels
    ├── StoreError (OSError)              a study's folder cannot be read or written
    ├── ClusterError (RuntimeError)       an executor or a cluster's queue takes no runs, or lost them
    └── DivergedError (ArithmeticError)   the loss became NaN or infinite; recorded, the study continues
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 200  # characters of a name in a message


class TransfusionError(Exception):
    """Root of everything that this package raises on purpose."""

    def __str__(self) -> str:
        return " ".join(str(arg) for arg in self.args)


class SpecError(TransfusionError, ValueError):
    """A setting is missing, malformed or contradicts another."""


class UnknownNameError(TransfusionError, LookupError):
    """A name that nothing answers to."""

    @classmethod
    def of(cls, what: str, name: object, known: Iterable[str]) -> UnknownNameError:
        """Say that ``name`` is no ``what``, suggest the nearest known one, and list the rest."""
        names = list(map(str, known))
        said = " ".join(str(name).split())  # a network given for a name is many lines
        near = difflib.get_close_matches(said, names, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        short = said if len(said) <= _LONGEST else f"{said[: _LONGEST - 3]}..."
        return cls(f"There is no {what} '{short}'.{hint} Known: {', '.join(names)}.")


class InputError(TransfusionError, ValueError):
    """An array, tensor or frame that cannot be worked on."""


class DonorError(TransfusionError, ValueError):
    """A donor cannot be found or read."""


class AbsentDonorError(DonorError):
    """A donor is not where it was looked for: it was moved, or cannot be fetched now."""


class DonorMismatchError(DonorError):
    """A donor's tensors do not fit the model."""


class UnsafeFileError(DonorError):
    """A weight file that would need free unpickling."""


class TaskError(TransfusionError, ValueError):
    """The images or labels cannot be used as a task."""


class BadDataError(TaskError):
    """Everything that is wrong with a data set's files and labels, listed together."""

    def __init__(self, message: str, problems: Iterable[str] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__(message)


class StoreError(TransfusionError, OSError):
    """A study's folder cannot be read or written."""


class ClusterError(TransfusionError, RuntimeError):
    """An executor or a cluster's queue takes no runs, or lost those it had."""


class DivergedError(TransfusionError, ArithmeticError):
    """The loss of a run became NaN or infinite."""
