"""Networks at their thresholds: at one half, and at a stated sensitivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transfusion.metrics import Interval, rate_interval, rates, threshold_at
from transfusion.report.judged import Model, Rule, judged
from transfusion.report.material import Material
from transfusion.verdict.numbers import SHARE, number

HALF = 0.5  # the threshold that comes with a network
MANY = ("multiclass", "multilabel")


@dataclass(frozen=True)
class Point:
    """An operating point of one start for one event, over its trainings: mean shares with 95 % intervals."""

    sensitivity: Interval
    specificity: Interval
    span: tuple[str, str]

    @classmethod
    def of(cls, models: Sequence[Model], event: int, thresholds: Sequence[float]) -> Point:
        """At a threshold per training."""
        found = [
            rates(model.outcomes[:, event], model.probabilities[:, event], threshold, model.patients)
            for model, threshold in zip(models, thresholds, strict=True)
        ]
        sides = list(zip(*found, strict=True))
        spans = [_span([one.value for one in side]) for side in sides]
        return cls(rate_interval(sides[0]), rate_interval(sides[1]), (spans[0], spans[1]))


def _span(values: Sequence[float]) -> str:
    low, high = number(min(values), SHARE), number(max(values), SHARE)
    return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Judged:
    """What is known of the networks at their thresholds.

    Attributes:
        rule: how predictions are judged.
        by_start: start -> its trainings whose predictions are known.
        names: of the events.
        sensitivity: that the second threshold is to have.
        pair: the start that the decision is about, and the baseline, as far as they are known.
        judged_on: name of the split that the predictions are of.
        num_validation: validation images that judge nothing.
    """

    rule: Rule
    by_start: Mapping[str, list[Model]]
    names: tuple[str, ...]
    sensitivity: float
    pair: tuple[str, ...]
    judged_on: str = "test"
    num_validation: int = 0

    @classmethod
    def of(cls, material: Material) -> Judged | None:
        """None where no predictions can be judged."""
        rule, models = judged(material)
        by_start: dict[str, list[Model]] = {}
        for model in models:
            if model.is_known:
                by_start.setdefault(model.start, []).append(model)
        if rule is None or not by_start:
            return None
        effect = material.verdict.advice.effect
        wanted = (effect.start.name, effect.against) if effect else tuple(by_start)
        names = rule.classes if rule.kind in MANY else (rule.what,)
        pair = tuple(name for name in wanted if name in by_start)
        split = material.spec.train.eval_split
        num_validation = 0 if split == "val" else material.card.get("images", {}).get("val", 0)
        return cls(rule, by_start, names, material.spec.sensitivity, pair, split, num_validation)

    @property
    def has_validation(self) -> bool:
        """Whether thresholds are chosen on images that do not judge them."""
        return all(model.validation is not None for models in self.by_start.values() for model in models)

    def at_half(self, start: str, event: int = 0) -> Point:
        """Where the network says more likely than not."""
        models = self.by_start[start]
        return Point.of(models, event, [HALF] * len(models))

    def at_sensitivity(self, start: str, event: int = 0) -> Point | None:
        """At the stated sensitivity; None where there is no positive case to choose by."""
        models = self.by_start[start]
        chosen = [self.threshold(model, event) for model in models]
        return None if None in chosen else Point.of(models, event, [each for each in chosen if each is not None])

    def threshold(self, model: Model, event: int = 0) -> float | None:
        """The threshold of one network that has the stated sensitivity, on validation images where there are any."""
        # of all or none: networks whose thresholds are chosen on different images cannot be compared at them
        chosen_on = model.validation if self.has_validation else None
        outcomes, probabilities = chosen_on or (model.outcomes, model.probabilities)
        if not (outcomes[:, event] == 1).any():
            return None
        return threshold_at(outcomes[:, event], probabilities[:, event], self.sensitivity)

    @property
    def chosen_on(self) -> str:
        """Where thresholds come from, as a sentence."""
        if self.has_validation:
            return "Each network's second threshold is chosen on the validation images, and judged on the test images."
        images, why, cut = "test images", f"Scores on the {self.num_validation:,} validation images were not kept", ""
        if self.judged_on == "val":
            images, why = "validation images", "The validation images judge the networks"
        elif not self.num_validation:
            why, cut = "There are no validation images", " (--set task.val_fraction=0.1 sets images aside)"
        return (
            f"{why}, so each network's second threshold is chosen on the very {images} that judge it: its numbers are "
            f"optimistic for new patients{cut}."
        )
