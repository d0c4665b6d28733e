"""How a verdict is reached, in words: the same for every study."""

from __future__ import annotations

from transfusion.verdict.contest import SPLIT_SHARES
from transfusion.verdict.effects import PACE_MARGIN, RISE_SHARE
from transfusion.verdict.findings import Findings
from transfusion.verdict.likeness import LEAST_ROOM, MARGIN


def rules(found: Findings) -> list[str]:
    """Every rule as one text."""
    metric, baseline, margin = found.judge.title, found.baseline, found.margin
    said = [
        "Every comparison is paired over seeds. Brackets are 95 % intervals, and wider where several claims must hold "
        f"together. {_covered(found)}",
        "The end of a training is the evaluation that the validation split picks by AUC, or the last without such a "
        f"split. A difference in {metric} of less than {margin:g} does not matter: where it is shown to be smaller, "
        "pace decides.",
        f"Shown to be smaller means: two one-sided t tests at 5 % reject a difference of {margin:g} or more; that is, "
        "the 90 % interval lies within it. It is never concluded where a training failed, diverged or collapsed.",
        f"The target is {RISE_SHARE:.0%} of the way from {baseline}'s mean {metric} at its first evaluation to its "
        "mean over the last fifth of evaluations; it depends on the baseline's complete trainings alone.",
        "A training has reached the target if any evaluation did; the step is read off a monotone fit. Those "
        "that never got there, or were there by their first evaluation, bound the speed-up and leave its interval "
        f"open. About the same speed means that the whole interval lies within {PACE_MARGIN:g} times.",
        "The number of trainings that would show equality is that with which these tests would rule out a difference "
        f"of {margin:g} in 80 % of studies if there is none, at the spread seen here. From few trainings it is rough.",
        "The share of scaling is log speed-up of mean_var over log speed-up of pretrained, with Fieller's interval, "
        f"over the thresholds from {SPLIT_SHARES[0]:.0%} to {SPLIT_SHARES[-1]:.0%} of the rise at which every training "
        "is timed. It is unknown unless the interval of pretrained's speed-up lies above 1, and where one of the "
        "thresholds gives another share; it is a bound where the trainings of one of the starts are timed within "
        "bounds only. No share is named where pretrained is not shown to be faster or slower than mean_var. What "
        "mean_var does not have is not all reuse of features: a donor's scale may be a bad one.",
        "Claims rest on intervals that hold together: the end and the speed of the main start (Holm, 5 %); all others "
        "share 2 %, or 5 % once both of these are shown, in equal parts by topic. Within a topic they are adjusted by "
        "Dunnett's test with a pooled spread or by Bonferroni, the picks of a best one included; a start whose "
        "differences scatter more than the others' is judged by its own spread, in part or alone.",
        "The decision is about pretrained (or else the first start) and the baseline: the final difference first, and "
        "the speed-up where that is shown to be too small to matter. Another start is named if it is shown to beat "
        "both.",
    ]
    return [*said, *([_of_likeness(baseline)] if found.likeness else [])]


def _covered(found: Findings) -> str:
    """What intervals are over, by what predictions are known."""
    main = found.main
    if main is None or "patients" not in main.final_difference.parts:
        return (
            "They are Student's t over seeds on one set of test images: what other trainings would give, not what "
            "other patients would."
        )
    whom = found.judged_on
    how = (
        f"They cover other trainings and other {whom}: the variance over seeds, and what different trainings have in "
        f"common on the same {whom} (Obuchowski and Rockette 1995)"
    )
    if "patients" in main.speedup.parts:
        return f"{how}, for speeds through how far each of them moves the curves (the scores of every evaluation)."
    return f"{how}. Those of speeds cover other trainings only: scores were not kept at every evaluation."


def _of_likeness(baseline: str) -> str:
    return (
        "Stages are ranked by the share of the way from chance to identity, (similarity - chance) / (1 - chance). "
        f"Trained networks of two starts look alike at a stage if their share is above 0, and at most {MARGIN:g} "
        f"below that of {baseline}'s trained networks of different seeds: one-sided t tests at 5 % on "
        "jackknife pseudo-values over seeds, for every pair of starts, there and at every later stage. Their intervals "
        "are over other trainings on the images shown, not other images. A stage "
        f"where chance gives more than {1 - LEAST_ROOM:g} shows neither change nor likeness, and is skipped."
    )
