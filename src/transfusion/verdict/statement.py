"""One conclusion as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from transfusion.metrics import Interval

Topic: TypeAlias = Literal[
    "runs", "decision", "numbers", "certainty", "next",
    "final", "overfitting", "course", "pace", "cost", "scaling", "upto", "pair", "batch_norm", "class", "size",
    "change", "alike", "filters",
]  # fmt: skip

# in the order in which they are read; those of one title stand together
TITLES: dict[Topic, str] = {
    "runs": "Runs",
    "decision": "Decision",
    "numbers": "Decision",
    "certainty": "Decision",
    "next": "Decision",
    "final": "Where training ends",
    "overfitting": "Where training ends",
    "course": "Where training ends",
    "pace": "How fast it gets there",
    "cost": "How fast it gets there",
    "scaling": "What the gain is made of",
    "upto": "What the gain is made of",
    "pair": "What the gain is made of",
    "batch_norm": "What the gain is made of",
    "class": "Class by class",
    "size": "More and fewer images",
    "change": "What the networks learned",
    "alike": "What the networks learned",
    "filters": "What the networks learned",
}
OPENING: tuple[Topic, ...] = ("runs", "decision", "numbers", "certainty", "next")


@dataclass(frozen=True)
class Statement:
    """One conclusion.

    Attributes:
        topic: what it is about.
        outcome: what was found, as one word of the topic's vocabulary, such as ``higher`` or ``unknown``.
        text: a sentence or two.
        start: whom it is about; None where it is about the study.
        against: the start that it is compared with.
        interval: the number it rests on; None where there is none.
        soft: parts of the text that say how surely; a page lets them step back.
        option: of ``transfusion study``, that does what the text advises; None where none does.
    """

    topic: Topic
    outcome: str
    text: str
    start: str | None = None
    against: str | None = None
    interval: Interval | None = None
    soft: tuple[str, ...] = ()
    option: str | None = None

    @property
    def estimate(self) -> float:
        """The best single number, NaN where there is none."""
        return self.interval.estimate if self.interval else float("nan")

    @property
    def n(self) -> int:
        """On how many trainings it rests."""
        return self.interval.n if self.interval else 0

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        found = self.interval.to_dict() if self.interval else None
        told = {"topic": self.topic, "outcome": self.outcome, "start": self.start, "against": self.against}
        return {**told, "interval": found, "text": self.text, "option": self.option}
