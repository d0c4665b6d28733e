"""What workers carry out, runs and comparisons alike."""

from __future__ import annotations

from typing import Literal, Protocol

Ending = Literal["done", "failed", "busy", "kept"]


class Job(Protocol):
    """Small and picklable: all that a process needs, wherever it is."""

    @property
    def id(self) -> str:
        """Stands for the job among its like."""

    @property
    def is_open(self) -> bool:
        """Whether it is still to be done, as far as a quick look shows: another process may have done it."""

    def carry_out(self) -> Ending:
        """Carry it out, or resume it; what goes wrong inside is recorded, not raised.

        Returns:
            ``done``; ``failed``; ``busy`` when another process works on it; ``kept`` when one has ended it.
        """

    def fail(self, error: str, trace: str) -> None:
        """Record what went wrong outside: its process died, or the executor refused it."""
