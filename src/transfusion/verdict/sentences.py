"""The verdict in words: one sentence per conclusion, with a number, an interval and n."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from transfusion.metrics import Interval
from transfusion.verdict.comparison import ENOUGH_OF_SPEEDUP, RISE_SHARE, RISE_SHARES, Comparison

if TYPE_CHECKING:
    from transfusion.verdict.conclusion import Verdict

LEVEL = 0.05


def lines(verdict: Verdict) -> list[str]:
    """Every conclusion of the verdict as one sentence."""
    if not verdict.schemes:
        return [f"Nothing to compare with {verdict.baseline} yet: n = 0 other runs have a value of {verdict.metric}."]
    comparisons = list(verdict.schemes.values())
    said = [_final(verdict, comparison) for comparison in comparisons]
    said += [_speed(verdict, comparison) for comparison in comparisons]
    said += [_area(verdict, comparison) for comparison in comparisons]
    said += [*_shares(verdict), *_upto(verdict), *_modes(verdict), *_sizes(verdict), *_gaps(verdict)]
    return [*said, recommendation(verdict)]


def rules(verdict: Verdict) -> list[str]:
    """How the verdict was reached."""
    metric, baseline, margin = _shown(verdict.metric), verdict.baseline, verdict.margin
    return [
        "Every comparison is paired over seeds; intervals are Student's t over seeds, 95 % each, on one set of test "
        "images.",
        f"The threshold is {RISE_SHARE:.0%} of the way from {baseline}'s mean {metric} at its first evaluation to its "
        "mean over the last fifth of evaluations; it depends on the baseline's curves alone.",
        "A run has reached a threshold if any evaluation did; when is read off a monotone fit of its climb. Runs that "
        "never got there, or were there by their first evaluation, bound the speed-up and leave its interval open.",
        f'"No difference larger than {margin:g}" means that two one-sided t tests at 5 % reject one of {margin:g} or '
        "more.",
        "The scaling share is log speed-up of mean_var over log speed-up of pretrained, with Fieller's interval; it is "
        "undefined unless the interval of pretrained's speed-up lies above 1.",
        "Intervals are not adjusted for the number of starts: of 20 comparisons without effect, one will look like "
        "one. The pick of a best and worst batch-norm mode is adjusted (Bonferroni over pairs of modes).",
        "The recommendation looks at the final difference first and at the speed-up second, each at 5 %, so without "
        "any effect it prefers a start in at most 10 % of studies.",
    ]


def recommendation(verdict: Verdict) -> str:
    """What to do, by rules that look at final difference first and speed second, and what would change it."""
    main, baseline = verdict.main, verdict.baseline
    if main is None:
        return f"No recommendation: there is nothing to compare with {baseline}."
    name, final, speed = main.start.name, main.final_difference, main.speedup
    end = f"the final difference is {_signed(final)}"
    pace = f"its speed-up is {_times(speed)}"
    doubt = _doubt(verdict, main)
    if final.low > 0:
        advice = f"start from {name}, because it ends higher: {end}"
        change = "seeds that bring the lower end of this interval to 0"
    elif final.high < 0:
        advice = f"start from {baseline}, because {name} ends lower: {end}"
        change = "seeds that bring the upper end of this interval to 0"
    elif speed.low > 1:
        advice = f"start from {name} for the time it saves: {pace}; {doubt}"
        change = "a final difference below 0 beyond doubt"
    elif speed.high < 1:
        advice = f"start from {baseline}, because {name} is slower: {pace}; {doubt}"
        change = "a final difference above 0 beyond doubt"
    elif main.equivalence_p < LEVEL:
        advice = f"choose between {name} and {baseline} by convenience: {doubt}, and {pace}"
        change = "a speed-up whose interval leaves out 1"
    else:
        advice = f"none between {name} and {baseline} yet: {end}, {pace}"
        change = f"{_more_seeds(main)}, or evaluations closer together where speed is open,"
    return f"Recommendation: {advice}; {change} would change it."


def _final(verdict: Verdict, comparison: Comparison) -> str:
    name, difference = comparison.start.name, comparison.final_difference
    metric, baseline, margin = _shown(verdict.metric), verdict.baseline, verdict.margin
    if math.isnan(difference.estimate):
        return f"Final {metric} of {name} against {baseline} is unknown {_brackets(difference, '.3f')}."
    small = comparison.equivalence_p < LEVEL
    if difference.low > 0 or difference.high < 0:
        where = "above" if difference.low > 0 else "below"
        extra = f", a difference smaller than {margin:g}" if small else ""
        interval = _brackets(difference, "+.3f")
        return f"{name} ends {abs(difference.estimate):.3f} {where} {baseline} in {metric} {interval}{extra}."
    if small:
        return (
            f"{name} and {baseline} end with no difference in {metric} larger than {margin:g}: {_signed(difference)}."
        )
    return (
        f"This study cannot tell whether {name} and {baseline} end apart in {metric}: the difference is "
        f"{_signed(difference)}; {_more_seeds(comparison)} could rule out one of {margin:g}."
    )


def _speed(verdict: Verdict, comparison: Comparison) -> str:
    name, speed = comparison.start.name, comparison.speedup
    known = [s.estimate for s in comparison.speedup_at.values() if not math.isnan(s.estimate)]
    if math.isnan(speed.estimate):
        return f"The speed-up of {name} against {verdict.baseline} is {_times(speed)}."
    level = f"{_shown(verdict.metric)} {verdict.rise.level(RISE_SHARE):.3f}"
    span = f"; {min(known):.2f} to {max(known):.2f} times at {RISE_SHARES[0]:.0%} to {RISE_SHARES[-1]:.0%} of the rise"
    return (
        f"{name} reaches {level} in {1 / speed.estimate:.0%} of the steps of {verdict.baseline}: {_times(speed)}{span}."
    )


def _area(verdict: Verdict, comparison: Comparison) -> str:
    area = comparison.area
    what = f"Over the whole budget, {comparison.start.name}'s mean {_shown(verdict.metric)}"
    if math.isnan(area.estimate):
        return f"{what} against {verdict.baseline}'s is unknown {_brackets(area, '.3f')}."
    return f"{what} is {_signed(area)} from {verdict.baseline}'s."


def _shares(verdict: Verdict) -> Iterator[str]:
    share, reuse = verdict.scaling_share, verdict.feature_reuse_share
    if not {"pretrained", "mean_var"} <= set(verdict.schemes):
        return
    if math.isnan(share.estimate):
        yield f"How much of the speed-up is scaling is undefined {_brackets(share, '.0%')}."
        return
    yield (
        f"Scaling (mean_var) accounts for {share.estimate:.0%} of pretrained's speed-up {_brackets(share, '.0%')}, "
        f"feature reuse for the other {reuse.estimate:.0%}."
    )


def _upto(verdict: Verdict) -> Iterator[str]:
    shares = verdict.upto_shares
    if not shares:
        return
    name = verdict.smallest_upto
    if name:
        yield (
            f"The smallest start with {ENOUGH_OF_SPEEDUP:.0%} of pretrained's speed-up is {name}, with "
            f"{shares[name].estimate:.0%} {_brackets(shares[name], '.0%')}."
        )
        return
    known = {name: share for name, share in shares.items() if not math.isnan(share.estimate)}
    if not known:
        yield f"Where the reuse sits is undefined {_brackets(next(iter(shares.values())), '.0%')}."
        return
    top = max(known, key=lambda name: known[name].estimate)
    yield (
        f"No partial start has {ENOUGH_OF_SPEEDUP:.0%} of pretrained's speed-up; the nearest is {top}, with "
        f"{known[top].estimate:.0%} {_brackets(known[top], '.0%')}."
    )


def _modes(verdict: Verdict) -> Iterator[str]:
    for scheme, (best, worst, gap) in verdict.modes.items():
        yield (
            f"For {scheme}, batch norm {best} has the highest curve and {worst} the lowest: mean "
            f"{_shown(verdict.metric)} differs by {_signed(gap)}, adjusted for the pick."
        )


def _sizes(verdict: Verdict) -> Iterator[str]:
    if verdict.size_change is None or verdict.main is None:
        return
    name, sizes = verdict.main.start.name, list(verdict.by_size)
    for size in sizes[:-1]:
        if name in verdict.by_size[size]:
            gap = verdict.by_size[size][name].final_difference
            yield f"With {size} images {name} ends {_signed(gap)} from {verdict.baseline} in {_shown(verdict.metric)}."
    yield (
        f"From {sizes[-1]} to {sizes[0]} images the final difference of {name} changes by "
        f"{_signed(verdict.size_change)}."
    )


def _gaps(verdict: Verdict) -> Iterator[str]:
    if verdict.num_incomplete:
        yield (
            f"Left out of final figures, and bounding speeds only as far as they went: n = {verdict.num_incomplete} "
            "runs that are unfinished or diverged."
        )


def _doubt(verdict: Verdict, comparison: Comparison) -> str:
    if comparison.equivalence_p < LEVEL:
        return f"there is no final difference larger than {verdict.margin:g}"
    return f"whether it ends apart is open: {_signed(comparison.final_difference)}"


def _more_seeds(comparison: Comparison) -> str:
    needed = comparison.num_seeds_needed
    return f"about {needed} seeds" if needed else "more seeds"


def _shown(metric: str) -> str:
    return metric.upper() if metric.startswith("au") else metric


def _signed(interval: Interval) -> str:
    if math.isnan(interval.estimate):
        return f"unknown {_brackets(interval, '+.3f')}"
    return f"{interval.estimate:+.3f} {_brackets(interval, '+.3f')}"


def _times(interval: Interval) -> str:
    if math.isnan(interval.estimate):
        return f"unknown {_brackets(interval, '.2f')}"
    bound = "at least " if interval.high == math.inf else "at most " if interval.low == 0 else ""
    return f"{bound}{interval.estimate:.2f} times {_brackets(interval, '.2f')}"


def _brackets(interval: Interval, form: str) -> str:
    n = f"n = {interval.n} seed{'s' if interval.n != 1 else ''}"
    why = f", {interval.reason}" if interval.reason else ""
    if math.isnan(interval.low) and math.isnan(interval.high):
        return f"(no interval{why}; {n})"
    return f"(95 % interval {interval.low:{form}} to {interval.high:{form}}{why}; {n})"
