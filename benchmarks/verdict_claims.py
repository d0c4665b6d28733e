"""Tables of ``verdict_coverage.py`` on what a whole verdict claims: patients, a full page, margins, ends, failures."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from transfusion.metrics import auc_interval, bootstrap_auc
from transfusion.verdict import Verdict, conclude
from transfusion.verdict.effects import RISE_SHARE
from transfusion.verdict.sequential import FIRST_LOOK, Looks
from transfusion.verdict.tally import hidden_rate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from planted import Planted
from planted_patients import blind, population_area, study
from planted_verdicts import CLASSES, null_frame, null_likeness

SEEDS = (3, 5, 10)
Rows = Iterator[Sequence[object]]

APART = {"higher", "lower", "slightly higher", "slightly lower"}
CLAIMS = {
    "decision": {"better", "worse", "saves time", "slower", "another", "better but slower", "probably saves time",
                 "stop early", "only it learns"},
    "final": APART, "pair": APART | {"faster", "slower"}, "pace": {"faster", "slower"}, "class": {"higher", "lower"},
    "size": APART | {"larger", "smaller"}, "overfitting": {"falls"}, "batch_norm": {"apart"}, "alike": {"less alike"},
    "upto": {"enough", "none"}, "scaling": {"none", "at most", "known", "all"},
}  # fmt: skip


def percent(hits: float, of: int) -> str:
    """A rate and its Monte Carlo standard error."""
    if not of:
        return "-"
    rate = hits / of
    return f"{100 * rate:.1f} ± {100 * np.sqrt(max(rate * (1 - rate), 0.25 / of) / of):.1f}"


def claims_of(verdict: Verdict) -> set[str]:
    """Topics on which it says that something differs."""
    return {one.topic for one in verdict.statements if one.outcome in CLAIMS.get(one.topic, ())}


def pace_of_patients(studies: int) -> Rows:
    """Items 4 and 5: two starts that are good at different patients; truths outside the 95 % interval."""
    yield "positive and negative patients", "start-by-patient sd", "true speed-up", "seeds", *(
        f"{what}: {how}" for what in ("speed-up", "mean height") for how in ("trainings only", "both")
    )  # fmt: skip
    for num, own in (((20, 100), 0.0), ((20, 100), 0.7), ((60, 140), 0.7)):
        for speedup, n in itertools.product((1.0, 3.0), SEEDS):
            generator, wrong = np.random.default_rng(0), Counter[str]()
            height = population_area(speedup, own) if speedup != 1 else 0.0
            for _ in range(studies):
                whole = study(generator, n, num, own, speedup)
                for how, contest in (("both", whole), ("trainings", blind(whole))):
                    speed, (start,) = contest.pace("pretrained", "random"), contest.rivals
                    runs = contest.grid.starts[start], contest.grid.find("random")
                    area = contest.evidence(*runs, "area").interval()
                    wrong[f"speed {how}"] += not speed.low <= speedup <= speed.high
                    wrong[f"area {how}"] += not area.low <= height <= area.high
            rates = (
                percent(wrong[f"{what} {how}"], studies) for what in ("speed", "area") for how in ("trainings", "both")
            )
            yield f"{num[0]} and {num[1]}", own, speedup, n, *rates


QUICK = {"random": 1.0, "pretrained": 4.0}


def full_page(studies: int) -> Rows:
    """Item 8: no effect at all. Ten starts, batch-norm modes, two data sizes, five classes, networks compared."""
    yield "seeds", "statements", "any false claim", "a start recommended", "by topic"
    for n in SEEDS:
        wrong, num = Counter[str](), 0
        for seed in range(studies):
            verdict = conclude(null_frame(n, seed), similarity=null_likeness(n, seed), classes=CLASSES)
            topics = claims_of(verdict)
            wrong.update([*topics, *["any"] * bool(topics), *["start"] * (verdict.advice.start is not None)])
            num = max(num, len(verdict.statements))
        by_topic = ", ".join(f"{topic} {wrong[topic]}" for topic in CLAIMS if wrong[topic])
        yield n, num, percent(wrong["any"], studies), percent(wrong["start"], studies), by_topic


def margin(studies: int) -> Rows:
    """Item 3: a final difference near the margin of 0.01, and pretrained 3 times as fast."""
    yield (
        "true difference",
        "seeds",
        "said to be under the margin",
        "use pretrained (to save time)",
        "start from random",
    )
    for difference, n in itertools.product((0.0, -0.003, -0.01, -0.03), SEEDS):
        tops = {"pretrained": 0.9 + difference}
        planted = Planted(
            {"random": 1.0, "pretrained": 3.0}, tops, num_seeds=n, noise=0.002, spread=0.04, every=None, budget=720
        )
        found = Counter[str]()
        for seed in range(studies):
            verdict = conclude(planted.frame(seed))
            found["under"] += verdict.main is not None and verdict.main.ends in (
                "equal",
                "slightly higher",
                "slightly lower",
            )
            found[verdict.advice.start or "none"] += 1
        yield difference, n, *(percent(found[what], studies) for what in ("under", "pretrained", "random"))


def ends(studies: int) -> Rows:
    """Item 6: the end picked by a validation split; pretrained falls from its peak by so much, random does not."""
    yield (
        "fall",
        "seeds",
        "true difference at the end outside its interval",
        "at the last step",
        "pretrained said to fall",
        "random said to fall",
    )
    steps = np.arange(0, 361, 20)
    for fall, n in itertools.product((0.0, 0.02, 0.05), SEEDS):
        truth, wrong = _picked_truth(fall, steps), Counter[str]()
        for seed in range(studies):
            verdict = conclude(_falling(np.random.default_rng(seed), n, fall, steps))
            main = verdict.main
            assert main is not None
            wrong["end"] += not main.final_difference.low <= truth <= main.final_difference.high
            wrong["last"] += not main.last_difference.low <= 0.02 - fall <= main.last_difference.high
            wrong.update(list(verdict.falls))
        yield fall, n, *(percent(wrong[what], studies) for what in ("end", "last", "pretrained", "random"))


def _falling(generator: np.random.Generator, n: int, fall: float, steps: np.ndarray) -> pd.DataFrame:
    parts = []
    for start, gain, drop in (("random", 0.0, 0.0), ("pretrained", 0.02, fall)):
        rise = 1 - np.exp(-steps / 60 * (2 if start == "pretrained" else 1))
        clean = 0.5 + (0.38 + gain) * rise - drop * np.clip((steps - 160) / 200, 0, 1)
        clean = clean + 0.008 * generator.normal(size=(n, 1)) * rise
        for seed, heights in enumerate(clean):
            seen = {"auc": heights + 0.008 * generator.normal(size=len(steps)),
                    "val_auc": heights + 0.012 * generator.normal(size=len(steps))}  # fmt: skip
            parts.append(pd.DataFrame({"run": f"{start}{seed}", "scheme": start, "seed": seed, "step": steps, **seen}))
    return pd.concat(parts, ignore_index=True)


def _picked_truth(fall: float, steps: np.ndarray) -> float:
    """What picking by validation gives on average, over many trainings."""
    frame = _falling(np.random.default_rng(10**6), 4000, fall, steps)
    best = frame.loc[frame.groupby("run")["val_auc"].idxmax()]
    means = best.groupby("scheme")["auc"].mean()
    return float(means["pretrained"] - means["random"])


def failures(studies: int) -> Rows:
    """Item 7: trainings of pretrained collapse at a rate that the study does not know; the starts are equal."""
    yield (
        "rate",
        "seeds",
        "true rate above what none failing is said to hide",
        "of all studies",
        "said equal though one collapsed",
        "threshold moved",
        "told first",
    )
    planted = Planted({"random": 1.0, "pretrained": 1.0}, {}, noise=0.001, spread=0.01, budget=720)
    for rate, n in itertools.product((0.1, 0.6), SEEDS):
        study_, found, num_lost = Planted(**{**vars(planted), "num_seeds": n}), Counter[str](), 0
        for seed in range(studies):
            frame, draws = study_.frame(seed), np.random.default_rng(seed).random(n) < rate
            dead = frame["run"].isin([f"pretrained-{number}" for number in np.flatnonzero(draws)])
            verdict = conclude(frame.assign(auc=frame["auc"].mask(dead, 0.5), collapsed=dead.astype(float)))
            num_lost += draws.any()
            found["hidden"] += not draws.any() and rate > hidden_rate(n)
            found["equal"] += draws.any() and any(one.outcome == "equal" for one in verdict.about("final"))
            found["moved"] += verdict.rise != conclude(frame).rise
            found["first"] += draws.any() and verdict.statements[0].topic == "runs"
        hidden = "never" if rate <= hidden_rate(n) else "counted"
        yield (
            rate,
            n,
            hidden,
            percent(found["hidden"], studies),
            percent(found["equal"], num_lost),
            percent(found["moved"], studies),
            percent(found["first"], num_lost),
        )


def definite(studies: int) -> Rows:
    """Item 9: a partial start and scale alone, whose shares of a five-fold speed-up are known."""
    yield (
        "true share of the partial start",
        "noise",
        "seeds",
        "said to be enough (95 %)",
        "said to be too little",
        "its share outside the interval",
        "share of scaling outside (truth 43 %)",
        "said to depend on the threshold",
    )
    for share, noise, n in itertools.product((0.5, 0.95, 1.0), (0.003, 0.02), SEEDS):
        speeds = {"random": 1.0, "pretrained": 5.0, "mean_var": 2.0, "pretrained upto layer1": 5.0**share}
        planted = Planted(speeds, {}, num_seeds=n, noise=noise, every=None, tau=80.0)
        found, known = Counter[str](), Counter[str]()
        for seed in range(studies):
            frame = planted.frame(seed)
            upto = frame["scheme"].str.extract(r"(?P<scheme>\w+)(?: upto (?P<upto>\w+))?")
            verdict = conclude(frame.assign(start=frame["scheme"], **{name: upto[name] for name in upto}))
            found.update({f"upto {one.outcome}" for one in verdict.about("upto")})
            for what, interval, truth in (("part", verdict.upto_shares["pretrained upto layer1"], share),
                                          ("scale", verdict.scaling_share, np.log(2) / np.log(5))):  # fmt: skip
                known[what] += not np.isnan(interval.low)
                found[what] += not np.isnan(interval.low) and not interval.low <= truth <= interval.high
                found["apart"] += what == "scale" and "depends on the threshold" in (interval.reason or "")
        outside = (f"{percent(found[what], known[what])} of {known[what]}" for what in ("part", "scale"))
        yield (
            share,
            noise,
            n,
            percent(found["upto enough"], studies),
            percent(found["upto none"], studies),
            *outside,
            percent(found["apart"], studies),
        )


def disagreeing(studies: int) -> Rows:
    """Item 9: scale alone is 4 times as fast up to AUC 0.7, like pretrained, and as slow as random from there on."""
    yield "seeds", "not known, or said to depend on the threshold", "a share is named", "a bound is named"
    for n in SEEDS:
        planted, found = Planted(QUICK | {"mean_var": 1.0}, {}, num_seeds=n, noise=0.003, every=None), Counter[str]()
        for seed in range(studies):
            frame = planted.frame(seed)
            part = frame["scheme"] == "mean_var"
            quick = planted.values("pretrained", n, np.random.default_rng(10**6 + seed), 0.003).ravel()
            late = np.maximum(frame.loc[part, "auc"].to_numpy(), 0.7)
            frame.loc[part, "auc"] = np.where(quick < 0.7, quick, late)
            said = [one.outcome for one in conclude(frame).about("scaling")] or ["unknown"]
            found.update(said)
        named = found["known"] + found["all"] + found["none"]
        yield n, *(percent(num, studies) for num in (found["unknown"], named, found["at most"]))


def few_positives(studies: int) -> Rows:
    """Item 11: one network's AUC on few positive patients (five times as many negative ones); truths outside."""
    yield (
        "positive patients",
        "images each",
        "true AUC",
        "the program's interval",
        "its width",
        "percentile bootstrap",
        "its width",
    )
    for images, num, auc in itertools.product((1, 3), (10, 20, 50), (0.7, 0.9, 0.97)):
        generator, wrong, width = np.random.default_rng(1), Counter[str](), Counter[str]()
        labels = np.repeat([1, 0], [num, 5 * num])
        owners = np.repeat(np.arange(6 * num), images)
        for _ in range(studies):
            latent = np.sqrt(0.6) * generator.normal(size=6 * num)[owners] + np.sqrt(0.4) * generator.normal(
                size=len(owners)
            )
            scores = stats.norm.cdf((latent + stats.norm.ppf(auc) * np.sqrt(2) * labels[owners]) / 4)
            truth = labels[owners]
            for how, found in (("ours", auc_interval(truth[:, None], scores[:, None], owners)),
                               ("drawn", bootstrap_auc(truth, scores, owners, num=500))):  # fmt: skip
                wrong[how] += not found.low <= auc <= found.high
                width[how] += found.high - found.low
        shown = (
            cell for how in ("ours", "drawn") for cell in (percent(wrong[how], studies), f"{width[how] / studies:.3f}")
        )
        yield num, images, auc, *shown


MOST = 10  # trainings


def until_decided(studies: int) -> Rows:
    """Item 12: whole studies with ``--until decided --max-seeds 10``, ends and pace; a fixed number beside it."""
    yield (
        "true final difference",
        "true speed-up",
        "decided",
        "something false said",
        "mean trainings",
        "fixed number as often decided",
        "looking at 5 %: something false said",
    )
    for gain, faster in ((0.0, 1.0), (0.01, 1.0), (0.02, 1.0), (0.0, 1.5), (-0.02, 2.0)):
        speedup = faster * _sooner(gain)
        planted = Planted(
            {"random": 1.0, "pretrained": faster}, {"pretrained": 0.9 + gain}, num_seeds=MOST, every=None, budget=720
        )
        found, trainings, fixed = Counter[str](), [], Counter[int]()
        for seed in range(studies):
            frame = planted.frame(seed)
            plain = list(_looked_at(frame, None))
            fixed.update(n for n, verdict in enumerate(plain, FIRST_LOOK) if verdict.is_decided)
            stopped, naive = _stopped(_looked_at(frame, Looks(MOST))), _stopped(plain)
            trainings.append(max(level.n for level in stopped.levels.values()))
            found["decided"] += stopped.is_decided
            found["false"] += _says_false(stopped, gain, speedup)
            found["naive"] += _says_false(naive, gain, speedup)
        enough = next((n for n in range(3, MOST + 1) if fixed[n] >= found["decided"]), f"over {MOST}")
        rates = {what: percent(found[what], studies) for what in ("decided", "false", "naive")}
        mean = f"{np.mean(trainings):.1f}"
        yield f"{gain:+g}", f"{speedup:.2f}", rates["decided"], rates["false"], mean, enough, rates["naive"]


def _sooner(gain: float) -> float:
    """How much sooner an exponential curve from 0.5 that ends higher by ``gain`` is at 80 % of the rise to 0.9."""
    return float(np.log(1 - RISE_SHARE) / np.log(1 - RISE_SHARE * 0.4 / (0.4 + gain)))


def _looked_at(frame: pd.DataFrame, looks: Looks | None) -> Iterator[Verdict]:
    return (conclude(frame[frame["seed"] < n], looks=looks) for n in range(FIRST_LOOK, MOST + 1))


def _stopped(verdicts: Iterable[Verdict]) -> Verdict:
    """The one at which trainings are no longer added."""
    for verdict in verdicts:
        if verdict.is_decided:
            break
    return verdict


def _says_false(verdict: Verdict, gain: float, speedup: float) -> bool:
    """Whether one of the primary claims is: apart where there is no difference, or to the wrong side."""
    main = verdict.main
    assert main is not None
    end, speed = main.claim("final_difference"), main.claim("speedup")
    apart = main.is_apart and not end.low <= gain <= end.high
    equal = main.is_equivalent and abs(gain) >= main.margin
    timed = main.pace in ("faster", "slower") and not speed.low <= speedup <= speed.high
    return apart or equal or timed


TABLES = (pace_of_patients, full_page, margin, ends, failures, definite, disagreeing, few_positives, until_decided)
