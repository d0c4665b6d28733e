"""The verdict in words: one sentence per conclusion, with a number, an interval and n."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from transfusion.metrics import Interval
from transfusion.verdict.advice import more_seeds
from transfusion.verdict.effects import ENOUGH_OF_SPEEDUP, RISE_SHARE, RISE_SHARES, Comparison
from transfusion.verdict.words import bound_of_ratio, brackets, shown, signed, times

if TYPE_CHECKING:
    from transfusion.verdict.verdict import Verdict


def lines(verdict: Verdict) -> list[str]:
    """Every conclusion of the verdict as one sentence."""
    metric, baseline = shown(verdict.metric), verdict.baseline
    if not verdict.schemes:
        return [f"Nothing to compare with {baseline} yet: n = 0 other runs have a value of {metric}."]
    if not verdict.has_baseline:
        others = ", ".join(verdict.schemes)
        return [f"Nothing to compare {others} with yet: n = 0 runs of {baseline} have a value of {metric}."]
    comparisons = list(verdict.schemes.values())
    said = [_final(verdict, comparison) for comparison in comparisons]
    said += [_speed(verdict, comparison) for comparison in comparisons]
    said += [_area(verdict, comparison) for comparison in comparisons]
    said += [*_shares(verdict), *_upto(verdict), *_modes(verdict), *_sizes(verdict), *_gaps(verdict)]
    said += verdict.likeness.lines if verdict.likeness else []
    return [*said, str(verdict.advice)]


def rules(verdict: Verdict) -> list[str]:
    """How the verdict was reached."""
    metric, baseline, margin = shown(verdict.metric), verdict.baseline, verdict.margin
    said = [
        "Every comparison is paired over seeds; intervals are Student's t over seeds, 95 % each, on one set of test "
        "images: they say what other seeds would give, not what other images would.",
        f"The threshold is {RISE_SHARE:.0%} of the way from {baseline}'s mean {metric} at its first evaluation to its "
        "mean over the last fifth of evaluations; it depends on the baseline's curves alone.",
        "A run has reached a threshold if any evaluation did; when is read off a monotone fit of its climb. Runs that "
        "never got there, or were there by their first evaluation, bound the speed-up and leave its interval open.",
        f'"No difference larger than {margin:g}" means that two one-sided t tests at 5 % reject one of {margin:g} or '
        "more; that is, the 90 % interval lies within it, and the 95 % interval may reach a little beyond.",
        "The number of seeds that could tell is that with which, at the spread seen here, these tests would rule out "
        f"a difference of {margin:g} in 80 % of studies if there is none. From few seeds it is rough.",
        "The scaling share is log speed-up of mean_var over log speed-up of pretrained, with Fieller's interval; it is "
        "undefined unless the interval of pretrained's speed-up lies above 1, and a bound where the runs of one of "
        "the starts are timed within bounds only. Feature reuse is claimed only where this interval lies below 100 %.",
        "Intervals are not adjusted for the number of starts: of 20 comparisons without effect, one will look like "
        "one. The pick of a best and worst batch-norm mode is adjusted (Bonferroni over pairs of modes); that of the "
        "smallest start with enough of the speed-up goes by the estimate.",
        "The recommendation is about pretrained (or else the first start) and the baseline. It looks at the final "
        "difference first and at the speed-up second (at the mean height of the curve where no threshold can tell), "
        "each at 5 %, so without any effect it prefers a start in at most 10 % of studies.",
    ]
    return [*said, *(verdict.likeness.rules if verdict.likeness else [])]


def _final(verdict: Verdict, comparison: Comparison) -> str:
    name, difference = comparison.start.name, comparison.final_difference
    metric, baseline, margin = shown(verdict.metric), verdict.baseline, verdict.margin
    if math.isnan(difference.estimate):
        return f"Final {metric} of {name} against {baseline} is unknown {brackets(difference, '.3f')}."
    test = f"larger than {margin:g} (two one-sided tests, p = {comparison.equivalence_p:.3f})"
    if difference.low > 0 or difference.high < 0:
        where = "above" if difference.low > 0 else "below"
        extra = f", and no difference {test}" if comparison.is_equivalent else ""
        interval = brackets(difference, "+.3f")
        return f"{name} ends {abs(difference.estimate):.3f} {where} {baseline} in {metric} {interval}{extra}."
    if comparison.is_equivalent:
        return f"{name} and {baseline} end with no difference in {metric} {test}: {signed(difference)}."
    return (
        f"This study cannot tell whether {name} and {baseline} end apart in {metric}: the difference is "
        f"{signed(difference)}; {more_seeds(comparison)} could tell a difference of {margin:g} from none."
    )


def _speed(verdict: Verdict, comparison: Comparison) -> str:
    name, baseline, speed = comparison.start.name, verdict.baseline, comparison.speedup
    if math.isnan(speed.estimate):
        return f"The speed-up of {name} against {baseline} is {times(speed)}."
    level = f"{shown(verdict.metric)} {verdict.rise.level(RISE_SHARE):.3f}"
    steps = f"{bound_of_ratio(speed, inverse=True)}{1 / speed.estimate:.0%} of the steps of {baseline}"
    what = "a speed-up of"
    if speed.high < 1:
        what = "a slow-down: its speed-up is"
    elif speed.low <= 1 <= speed.high:
        what = "a speed-up, though not beyond doubt, of"
        if speed.estimate < 1:
            what = "a slow-down, though not beyond doubt: its speed-up is"
    return f"To reach {level}, {name} takes {steps}, {what} {times(speed)}{_span(verdict, comparison)}."


def _span(verdict: Verdict, comparison: Comparison) -> str:
    known = [speed for speed in comparison.speedup_at.values() if not math.isnan(speed.estimate)]
    least, most = (pick(known, key=lambda speed: speed.estimate) for pick in (min, max))
    low, high = (f"{bound_of_ratio(speed)}{speed.estimate:.2f}" for speed in (least, most))
    return f"; {low} to {high} times at {RISE_SHARES[0]:.0%} to {RISE_SHARES[-1]:.0%} of {verdict.baseline}'s rise"


def _area(verdict: Verdict, comparison: Comparison) -> str:
    name, area, baseline = comparison.start.name, comparison.area, verdict.baseline
    what = f"Averaged over the whole training, {shown(verdict.metric)} of {name}"
    if math.isnan(area.estimate):
        return f"{what} against {baseline} is unknown {brackets(area, '.3f')}."
    where = "below" if area.estimate < 0 else "above"
    return f"{what} lies {abs(area.estimate):.3f} {where} that of {baseline} {brackets(area, '+.3f')}."


def _shares(verdict: Verdict) -> Iterator[str]:
    share = verdict.scaling_share
    if not {"pretrained", "mean_var"} <= set(verdict.schemes):
        return
    if math.isnan(share.estimate):
        yield f"How much of the speed-up is scaling is undefined {brackets(share, '.0%')}."
        return
    yield (
        f"Scaling (mean_var) accounts for {_bound_of_share(share)}{share.estimate:.0%} of pretrained's speed-up "
        f"{brackets(share, '.0%')}{_reuse(verdict)}."
    )


def _bound_of_share(share: Interval) -> str:
    """A share of runs that are timed within bounds goes from its estimate to a limit; see ``share_of_speedup``."""
    if share.low in (0, -math.inf):
        return "at most "
    return "at least " if share.high in (1, math.inf) else ""


def _reuse(verdict: Verdict) -> str:
    share, reuse = verdict.scaling_share, verdict.feature_reuse_share
    if share.low > 1:
        return ", more than the whole of it, so nothing is left for feature reuse"
    if share.high < 0:
        return ", less than nothing, so all of it is feature reuse"
    if share.estimate >= 1:
        return ", so feature reuse does not show"
    limit = {"at most ": "at least ", "at least ": "at most "}.get(_bound_of_share(share), "")
    unsure = ", which may be none" if share.high >= 1 else ""
    return f", feature reuse for the other {limit}{reuse.estimate:.0%}{unsure}"


def _upto(verdict: Verdict) -> Iterator[str]:
    shares = verdict.upto_shares
    if not shares:
        return
    name = verdict.smallest_upto
    if name:
        yield (
            f"The smallest start with {ENOUGH_OF_SPEEDUP:.0%} of pretrained's speed-up is {name}, with "
            f"{shares[name].estimate:.0%} {brackets(shares[name], '.0%')}."
        )
        return
    known = {name: share for name, share in shares.items() if not math.isnan(share.estimate)}
    if not known:
        yield f"Where the reuse sits is undefined {brackets(next(iter(shares.values())), '.0%')}."
        return
    top = max(known, key=lambda name: known[name].estimate)
    yield (
        f"No partial start has {ENOUGH_OF_SPEEDUP:.0%} of pretrained's speed-up; the nearest is {top}, with "
        f"{known[top].estimate:.0%} {brackets(known[top], '.0%')}."
    )


def _modes(verdict: Verdict) -> Iterator[str]:
    for scheme, (best, worst, gap) in verdict.modes.items():
        yield (
            f"For {scheme}, batch norm {best} has the highest curve and {worst} the lowest: mean "
            f"{shown(verdict.metric)} differs by {signed(gap)}, adjusted for the pick."
        )


def _sizes(verdict: Verdict) -> Iterator[str]:
    if verdict.size_change is None or verdict.main is None:
        return
    name, sizes = verdict.main.start.name, list(verdict.by_size)
    for size in sizes[:-1]:
        if name in verdict.by_size[size]:
            gap = verdict.by_size[size][name].final_difference
            yield f"With {size} images {name} ends {signed(gap)} from {verdict.baseline} in {shown(verdict.metric)}."
    yield (
        f"From {sizes[-1]} to {sizes[0]} images the final difference of {name} changes by "
        f"{signed(verdict.size_change)}."
    )


def _gaps(verdict: Verdict) -> Iterator[str]:
    if verdict.num_incomplete:
        yield (
            f"Unfinished or diverged: n = {verdict.num_incomplete} runs, which final figures leave out and speeds "
            "count as far as they went."
        )
