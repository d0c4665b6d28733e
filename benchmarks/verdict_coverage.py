"""How often the verdict's intervals and claims are right where the truth is planted; see results/.

Run from the repository root: OMP_NUM_THREADS=1 python benchmarks/verdict_coverage.py [STUDIES [TABLE ...]]. Every
table is dated, and is put in the place of the one that was there as soon as it is made.
"""

from __future__ import annotations

import datetime
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import verdict_claims
from scipy import stats
from verdict_claims import SEEDS, Rows, percent

from transfusion.metrics import Evidence, contrast, evidence, influence
from transfusion.verdict.curves import Curve
from transfusion.verdict.effects import RISE_SHARE, Rise
from transfusion.verdict.families import Pool
from transfusion.verdict.inference import ratio_interval, share_of_speedup
from transfusion.verdict.needed import power_to_confirm, power_to_show_equal, to_confirm, to_show_equal
from transfusion.verdict.sequential import Looks

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from planted import SHAPES, Planted  # noqa: E402

RESULT = Path(__file__).parent / "results" / "verdict_coverage.md"


def pace(studies: int) -> Rows:
    """Item 5: crossings between two evaluations, the program's own schedule."""
    yield "curve", "noise", "seeds", "speed-up 3", "speed-up 2", "share of scaling", "width (log)"
    truth = {"random": 1.0, "pretrained": 3.0, "mean_var": 2.0}
    for shape in SHAPES:
        for noise in (0.003, 0.02):
            for n in SEEDS:
                study = Planted(truth, {}, num_seeds=n, noise=noise, shape=shape, every=None)
                generator, hits, widths = np.random.default_rng(0), Counter[str](), []
                for _ in range(studies):
                    runs = {
                        name: [Curve(study.steps * 1.0, row) for row in study.values(name, n, generator, noise)]
                        for name in truth
                    }
                    level = Rise.of(dict(enumerate(runs["random"]))).level(RISE_SHARE)
                    met = {name: [curve.crossing(level) for curve in curves] for name, curves in runs.items()}
                    for name in ("pretrained", "mean_var"):
                        found = ratio_interval(met["random"], met[name])
                        hits[name] += found.low <= truth[name] <= found.high
                        widths.append(np.log(found.high / max(found.low, 1e-9)))
                    share = share_of_speedup({name: met[name] for name in ("random", "mean_var", "pretrained")})
                    hits["defined"] += not np.isnan(share.low)
                    hits["share"] += share.low <= np.log(2) / np.log(3) <= share.high
                shown = f"{percent(hits['share'], hits['defined'])} of {hits['defined']}"
                rates = (percent(hits[name], studies) for name in ("pretrained", "mean_var"))
                yield shape, noise, n, *rates, shown, f"{np.median(widths):.2f}"


def differences(generator: np.random.Generator, n: int, num: tuple[int, int], own: float, images: int = 1) -> list:
    """Influences of the differences of two starts of equal AUC over patients, good at patients of their own."""
    labels = np.repeat([1, 0], num)
    owners = np.repeat(np.arange(len(labels)), images)
    common, pairs = generator.normal(size=len(labels)), []
    starts = own * generator.normal(size=(2, len(labels)))
    for _ in range(n):
        pair = []
        for start in starts:
            level = common + start + labels * (1.5 + 0.1 * generator.normal())
            latent = level[owners] + 0.5 * generator.normal(size=len(owners))
            chance = stats.norm.cdf(latent / 3)
            pair.append(influence("auc", "binary", np.c_[1 - chance, chance], labels[owners], 1, owners))
        pairs.append(contrast(*pair))
    return pairs


def patients(studies: int) -> Rows:
    """Items 4 and 11: two starts of equal AUC over patients, called different."""
    yield "positive and negative patients", "images each", "start-by-patient sd", "seeds", "trainings only", "both"
    cases = [((8, 40), 1, 0.7), ((20, 100), 1, 0.0), ((20, 100), 1, 0.7), ((60, 140), 1, 0.7), ((20, 60), 3, 0.7)]
    for num, images, own in cases:
        for n in SEEDS:
            generator, wrong = np.random.default_rng(0), Counter[str]()
            for _ in range(studies):
                pairs = differences(generator, n, num, own, images)
                values = np.array([each.value for each in pairs])
                wrong["trainings"] += evidence(values).p_value() < 0.05
                wrong["both"] += evidence(values, pairs).p_value() < 0.05
            rates = (percent(wrong[what], studies) for what in ("trainings", "both"))
            yield f"{num[0]} and {num[1]}", images, own, n, *rates


def sources(studies: int) -> Rows:
    """Item 4: two sources of variance that are normal, 180 patients; a difference of 0 outside (40 draws a study)."""
    yield (
        "share of patients in the variance",
        "seeds",
        "trainings only",
        "Satterthwaite only",
        "the program",
        "in a family of 3",
    )
    for share in (0.1, 0.3, 0.5, 0.9):
        for n in SEEDS:
            generator, wrong, num = np.random.default_rng(0), Counter[str](), 40 * studies
            table = generator.normal(size=(num, n, 4)) * np.sqrt((1 - share) * n / 2)
            moved = np.sqrt(share / 2) * generator.normal(size=(num, 1, 4))
            patients = share * generator.chisquare(180, size=num) / 180
            for place, (starts, shared) in enumerate(zip(table + moved, patients, strict=True)):
                values = starts.T
                row = values[1] - values[0]
                found = Evidence(row.mean(), row.var(ddof=1), n, n - 1, shared, 180)
                wrong["trainings"] += evidence(row).p_value() < 0.05
                wrong["Satterthwaite"] += 2 * stats.t.sf(abs(found.estimate) / found.error, found.df) < 0.05
                wrong["both"] += found.p_value() < 0.05
                if place < studies:  # these take long
                    wrong["family"] += any(_family(values, shared))
            rates = (percent(wrong[what], num) for what in ("trainings", "Satterthwaite", "both"))
            yield f"{share:.0%}", n, *rates, percent(wrong["family"], studies)


def dunnett(studies: int) -> Rows:
    """Item 8: four starts, none better; and how often one that is 3 standard deviations better is found."""
    yield "standard deviations, baseline first", "seeds", "any false claim", "power", "power of t tests by Bonferroni"
    for spreads in ((1, 1, 1, 1), (1, 1, 1, 3), (3, 1, 1, 1), (1, 2, 1, 1), (1, 1, 1, 10)):
        for n in SEEDS:
            generator, found = np.random.default_rng(0), Counter[str]()
            for _ in range(studies):
                table = generator.normal(size=(4, n)) * np.array(spreads)[:, None]
                moved = table + np.array([0, 3, 0, 0])[:, None]
                found["false"] += any(_family(table))
                found["power"] += _family(moved)[0]
                found["alone"] += evidence(moved[1] - moved[0]).p_value() < 0.05 / 3
            yield spreads, n, *(percent(found[what], studies) for what in ("false", "power", "alone"))


def _family(table: np.ndarray, shared: float = np.nan) -> list[bool]:
    """Which starts are claimed to differ from the first, together at 5 %."""
    pool = Pool.of(list(table))
    found = [replace(evidence(row - table[0]), shared=shared, shared_df=180) for row in table[1:]]
    claims = [pool.claim(each, len(found)).interval() for each in found]
    return [not claim.low <= 0 <= claim.high for claim in claims]


def needed(studies: int) -> Rows:
    """Item 10: how often the stated range holds the right number, and the power that the upper number has."""
    yield (
        "purpose",
        "seeds seen",
        "right number below the range",
        "above it",
        "at least 80 % power with the upper number",
    )
    generator = np.random.default_rng(0)
    truth = Evidence(1.0, 1.0, 3, 2)
    asks: dict[str, tuple[Callable, Callable]] = {
        "confirm": (to_confirm, power_to_confirm),
        "show equal": (lambda seen: to_show_equal(seen, 1.0), lambda seen: power_to_show_equal(seen, 1.0)),
    }
    for purpose, (ask, power) in asks.items():
        right = ask(truth).best
        for n in SEEDS:
            found = Counter[str]()
            for _ in range(studies):
                answer = ask(Evidence(1.0, float(generator.normal(size=n).var(ddof=1)), n, n - 1))
                low, high = answer.low or np.inf, answer.high or np.inf
                found["below"] += right < low
                found["above"] += right > high
                enough = int(min(high, 10_000))
                found["power"] += power(Evidence(1.0, 1.0, enough, enough - 1)) >= 0.8
            yield purpose, n, *(percent(found[what], studies) for what in ("below", "above", "power"))


def sequential(studies: int) -> Rows:
    """Item 12: one difference looked at after every training from the third on (a hundred draws a study)."""
    yield (
        "most trainings",
        "true difference (sd)",
        "decided",
        "mean trainings",
        "fixed design of equal power",
        "looking at 5 %",
    )
    for last in (10, 20):
        looks = Looks(last)
        for effect in (0.0, 0.75, 1.0, 1.5):
            draws = np.random.default_rng(0).normal(effect, 1, size=(100 * studies, last))
            stopped, naive = np.zeros(len(draws), int), np.zeros(len(draws), bool)
            for n, level in looks.levels.items():
                p = stats.ttest_1samp(draws[:, :n], 0, axis=1).pvalue
                stopped = np.where((stopped == 0) & (p < level), n, stopped)
                naive |= p < 0.05
            decided = (stopped > 0).sum()
            mean = np.where(stopped > 0, stopped, last).mean()
            fixed = "-" if effect == 0 else _fixed(effect, decided / len(draws))
            shown = percent(naive.sum(), len(draws)) if effect == 0 else "-"
            yield last, effect, percent(decided, len(draws)), f"{mean:.1f}", fixed, shown


def _fixed(effect: float, power: float) -> int:
    return next(n for n in range(2, 200) if power_to_confirm(Evidence(effect, 1.0, n, n - 1)) >= min(power, 0.999))


TABLES = (patients, sources, needed, sequential, dunnett, pace, *verdict_claims.TABLES)


def lines(table: Callable[[int], Rows], studies: int, stamp: str) -> str:
    """A section of the result: title, date, table."""
    said = [f"## {title(table)}", "", f"{stamp}, {studies:,} simulated studies a row.", ""]
    for place, row in enumerate(table(studies)):
        said += [f"| {' | '.join(map(str, row))} |", *["|---" * len(row) + "|"] * (place == 0)]
        print(said[-1] if place else said[-2], flush=True)
    return "\n".join(said)


def title(table: Callable[[int], Rows]) -> str:
    return (table.__doc__ or "").strip()


def put(section: str, old: Sequence[str]) -> list[str]:
    """The sections of the result with one more, in the place of the one with its title."""
    first = section.split("\n", 1)[0]
    places = [place for place, one in enumerate(old) if one.startswith(first + "\n")]
    return [*old[: places[0]], section, *old[places[0] + 1 :]] if places else [*old, section]


def main() -> None:
    studies, names = int(sys.argv[1]) if len(sys.argv) > 1 else 500, sys.argv[2:]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    for table in TABLES:
        if names and table.__name__ not in names:
            continue
        stamp = f"{datetime.date.today()}, commit {commit}, {platform.machine()} {platform.system()}"
        section = lines(table, studies, stamp)
        sections = [one.strip() for one in re.split(r"^(?=## )", RESULT.read_text(), flags=re.M)]
        RESULT.write_text("\n\n".join(put(section, sections)) + "\n")


if __name__ == "__main__":
    main()
