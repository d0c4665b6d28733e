"""Planted curves whose truth is known, and the paper's own tables under the same rules."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from planted import Planted

from transfusion.paper.claims import CLAIMS as BY_RECIPE
from transfusion.paper.claims.cifar import agreeing
from transfusion.paper.evidence import Evidence, Part, ratio, scaling_share
from transfusion.paper.grids import PAPER as PAPER_RECIPES
from transfusion.paper.grids import Choices
from transfusion.paper.published import TABLES
from transfusion.paper.rules import Outcome
from transfusion.runs.comparisons import units
from transfusion.runs.plan import starts
from transfusion.verdict import conclude

CLAIMS = {claim.id: claim for claims in BY_RECIPE.values() for claim in claims}
R, C, U, X, N = Outcome.REPLICATED, Outcome.CONTRADICTED, Outcome.CANNOT_TELL, Outcome.NOT_TESTABLE, Outcome.NOT_RUN


@pytest.mark.parametrize(
    ("claim", "outcome"),
    [
        ("A1", R),
        ("A2", R),
        ("C1", U),
        ("C2", R),
        ("D1", U),
        ("D3", U),
        ("D6", C),
        ("E1", R),
        ("E2", U),
        ("E5", R),
        ("E7", R),
    ],
)
def test_the_papers_own_tables_under_the_same_rules(claim, outcome):
    assert CLAIMS[claim].own().outcome is outcome


def test_three_diseases_do_not_carry_the_sentence_on_a_large_group():
    found = CLAIMS["D3"].own()
    assert (found.estimate.estimate, found.estimate.n) == (3 / 8, 8)


def evidence(part, speedups, tops=None, *, num_seeds=5, **columns):
    frame = Planted(speedups, tops or {}, num_seeds=num_seeds, noise=0.001, spread=0.005, every=5, budget=1000).frame(3)
    return Evidence({part: Part(frame.assign(**columns))})


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_every_claim_says_so_where_nothing_was_run(claim):
    found = claim.judge(Evidence({}))
    assert found.outcome is N
    assert found.why


PAPER = {"random": 1.0, "mean_var": 2.0, "pretrained": 4.0}


@pytest.mark.parametrize(("claim", "part"), [("J2", "j2"), ("J5", "j5")])
def test_controls_read_the_starts_that_their_parts_train(claim, part):
    spec = PAPER_RECIPES["fundus"].parts(Choices(data="somewhere", mini=True), (claim,))[part]
    speeds = dict(zip([scheme.label for scheme in starts(spec)], (4.0, 2.0, 1.0), strict=False))
    if part == "j5":
        speeds = {"mean_var upto stem": 1.0, "pretrained": 8.0, "mean_var": 4.0, "random": 1.0}
        assert set(speeds) == {scheme.label for scheme in starts(spec)}
    frame = Planted(speeds, {}, num_seeds=5, noise=0.001, spread=0.005, every=5, budget=1000).frame(3)
    assert CLAIMS[claim].judge(Evidence({part: Part(frame)})).outcome is R


@pytest.mark.parametrize(("agree", "differ", "outcome"), [(18, 0, R), (15, 0, R), (14, 0, U), (15, 1, U), (14, 4, C)])
def test_eighteen_cells(agree, differ, outcome):
    assert agreeing([R] * agree + [C] * differ + [U] * (18 - agree - differ)).outcome is outcome


def table_4(shift, *, has_levels):
    """Five seeds at what Table 4 prints, and a shift."""
    rows = []
    for column, cells in TABLES["T4"].cells.items():
        size = round(float(column.rstrip("%")) / 100 * 50_000)
        for start, cell in cells.items():
            for seed, off in enumerate((-0.001, -0.0005, 0.0, 0.0005, 0.001)):
                for step, value in ((0, 0.1), (100, cell.mean + shift + off)):
                    rows.append({"run": f"{start} {size} {seed}", "start": start, "scheme": start, "seed": seed,
                                 "size": size, "step": step, "accuracy": value, "state": "done"})  # fmt: skip
    return Evidence({"t4": Part(pd.DataFrame(rows), has_levels=has_levels)})


def test_the_cells_of_table_4_against_levels_of_ours():
    assert CLAIMS["E6"].judge(table_4(0.0, has_levels=False)).outcome is X
    far = CLAIMS["E6"].judge(table_4(-0.1, has_levels=True))
    assert far.outcome is C
    near = CLAIMS["E6"].judge(table_4(0.0, has_levels=True))
    assert near.outcome in (R, U)
    assert near.estimate.estimate > far.estimate.estimate


@pytest.mark.parametrize(
    ("claim", "speedups", "tops", "outcome"),
    [
        ("A1", PAPER, {}, R),
        ("A1", PAPER, {"pretrained": 0.95}, C),
        ("A2", PAPER, {"pretrained": 0.95}, C),
        ("A3", PAPER, {}, R),
        ("A3", {"random": 2.0, "pretrained": 1.0, "mean_var": 1.0}, {}, C),
        ("A4", PAPER, {}, R),
        ("A5", PAPER, {}, R),
        ("A5", {"random": 1.0, "mean_var": 4.0, "pretrained": 2.0}, {}, C),
        ("A6", PAPER, {}, R),
        ("A6", {"random": 1.0, "mean_var": 1.0, "pretrained": 4.0}, {}, U),
    ],
)
def test_planted_effects_are_found(claim, speedups, tops, outcome):
    assert CLAIMS[claim].judge(evidence("t1", speedups, tops)).outcome is outcome


def test_speeds_are_those_of_the_verdict_with_what_evaluations_leave_open():
    frame = Planted(PAPER, {}, num_seeds=5, noise=0.001, spread=0.005, every=20, budget=1000).frame(3)
    verdict, arms = conclude(frame), Evidence({"t1": Part(frame)}).arms("t1", "auc")
    speed, share = ratio(arms.log_speed("random", "pretrained")), verdict.schemes["pretrained"].speedup
    assert (speed.low, speed.high) == pytest.approx((share.low, share.high))
    logs = arms.log_speed("random", "pretrained")
    alone = np.std(logs.best, ddof=1) / np.sqrt(5) * 2.776
    assert np.log(speed.high / speed.low) / 2 > 1.1 * alone
    part = scaling_share(arms.log_speed("random", "mean_var"), logs)
    blind = scaling_share(
        arms.log_speed("random", "mean_var")._replace(slow_gaps=0, fast_gaps=0), logs._replace(slow_gaps=0, fast_gaps=0)
    )
    assert part.low < blind.low < blind.high < part.high


def test_a_baseline_that_learns_nothing_makes_speeds_untestable():
    flat = evidence("t1", PAPER, dict.fromkeys(PAPER, 0.5))
    assert CLAIMS["A3"].judge(flat).outcome is X


def test_one_seed_replicates_nothing():
    assert CLAIMS["A3"].judge(evidence("t1", PAPER, num_seeds=1)).outcome is U


def test_sampling_as_fast_as_mean_var():
    same = {"random": 1.0, "mean_var": 2.0, "sampling": 2.0, "shuffled": 2.0}
    assert CLAIMS["A7"].judge(evidence("f4", same)).outcome is R
    assert CLAIMS["A7"].judge(evidence("f4", same | {"sampling": 4.0})).outcome is C
    assert CLAIMS["A8"].judge(evidence("f4", same)).outcome is R


def sized(part, gaps, metric="auc"):
    """Part with sizes, each with its own final level of pretrained."""
    frames = [
        Planted(PAPER, {"pretrained": 0.9 + gap}, num_seeds=5, noise=0.001, spread=0.01, every=5)
        .frame(int(size))
        .assign(size=size)
        for size, gap in gaps.items()
    ]
    frame = pd.concat([each.assign(run=each["run"] + f"-{n}") for n, each in enumerate(frames)], ignore_index=True)
    return Evidence({part: Part(frame.rename(columns={"auc": metric}).assign(size=frame["size"].astype("Int64")))})


def test_a_gap_that_grows_with_fewer_images():
    assert CLAIMS["C1"].judge(sized("t2", {100: 0.05, 1000: 0.0})).outcome is R
    assert CLAIMS["C1"].judge(sized("t2", {100: 0.0, 1000: 0.05})).outcome is C
    assert CLAIMS["C1"].judge(sized("t2", {100: 0.05})).outcome is N


def without(found, part, *lost):
    """The evidence without some runs, as start, seed and, where there are several, size."""
    frame = found.parts[part].frame
    keys = ["scheme", "seed", "size"] if len(lost[0]) == 3 else ["scheme", "seed"]
    gone = frame[keys].apply(tuple, axis=1).isin(lost)
    return Evidence({part: Part(frame[~gone])})


@pytest.mark.parametrize("claim", ["C1", "C3"])
def test_a_lost_run_takes_its_seed_out_at_every_size(claim):
    every = sized("t2", {100: 0.05, 300: 0.03, 1000: 0.0})
    lost = without(every, "t2", ("pretrained", 0, 100), ("pretrained", 4, 1000))
    both = without(every, "t2", *(("pretrained", seed, size) for seed in (0, 4) for size in (100, 300, 1000)))
    found, expected = (CLAIMS[claim].judge(each) for each in (lost, both))
    ends = [(each.low, each.high) for each in (found.estimate, expected.estimate)]
    assert ends[0] == pytest.approx(ends[1])
    assert found.estimate.n == 3


@pytest.mark.parametrize(("claim", "part"), [("A6", "t1"), ("A9", "t1"), ("C4", "t2"), ("C5", "t2")])
def test_a_lost_run_is_no_error_of_a_claim_on_several_starts(claim, part):
    every = evidence(part, PAPER) if part == "t1" else sized(part, {100: 0.05, 1000: 0.0})
    lost = without(every, part, ("pretrained", 0) if part == "t1" else ("pretrained", 0, 100))
    assert CLAIMS[claim].judge(lost).estimate.n == 4


SAME = {
    "A1": "t1",
    "A7": "f4",
    "B1": "f5",
    "C2": "t2",
    "C3": "t2",
    "C5": "t2",
    "E2": "t4",
    "E4": "t4",
    "H1": "f10",
    "H3": "f10",
}


@pytest.mark.parametrize(("claim", "part"), SAME.items())
def test_survivors_of_lost_trainings_show_no_sameness(claim, part):
    labels = ["random", "mean_var", "pretrained", "sampling", "shuffled", "mean_var bn=mean_var"]
    labels += ["mean_var bn=pretrained", "pretrained upto layer2", "pretrained upto layer3"]
    metric = "accuracy" if part == "t4" else "auc"
    frames = []
    for size in (5000, 50_000):
        frame = Planted(dict.fromkeys(labels, 1.0), {}, num_seeds=3, noise=0.001, spread=0.005, every=5).frame(1)
        frames.append(frame.assign(run=frame["run"] + f" {size}", start=frame["scheme"], size=size))
    frame = pd.concat(frames, ignore_index=True).rename(columns={"auc": metric})
    frame["size"] = frame["size"].astype("Int64")
    stages = ("stem", "layer1", "layer2", "layer3", "head")
    whole, lost = (
        CLAIMS[claim].judge(Evidence({part: Part(frame, stages=stages, lost=dict.fromkeys(labels, num))}))
        for num in (0, 1)
    )
    assert (whole.outcome is X, lost.outcome) == (False, X)
    assert "Trainings were lost, 1 of" in lost.why


def test_a_training_that_stops_short_moves_no_threshold():
    frame = Planted(PAPER, {}, num_seeds=5, noise=0.001, spread=0.005, every=20, budget=1000).frame(3)
    short = frame[~((frame["scheme"] == "random") & (frame["seed"] == 0) & (frame["step"] > 100))]
    found = conclude(short)
    speed = ratio(Evidence({"t1": Part(short)}).arms("t1", "auc").log_speed("random", "pretrained"))
    assert (speed.low, speed.high) == pytest.approx(
        (found.schemes["pretrained"].speedup.low, found.schemes["pretrained"].speedup.high)
    )


def test_cifar_sizes_are_shares_of_its_fifty_thousand_images():
    assert CLAIMS["E1"].judge(sized("t4", {5000: 0.05, 50_000: 0.0}, "accuracy")).outcome is R
    assert CLAIMS["E1"].judge(sized("t4", {5000: 0.05, 50_000: 0.05}, "accuracy")).outcome is C
    small = sized("t4", {5000: 0.05}, "accuracy")
    assert [CLAIMS[name].judge(small).outcome for name in ("E3", "E7", "E1")] == [R, R, N]  # E1 is of large ones too
    assert CLAIMS["E1"].judge(small).estimate.low > 0
    assert CLAIMS["E1"].judge(sized("t4", {5000: -0.05}, "accuracy")).outcome is C
    assert CLAIMS["E4"].judge(sized("t4", {5000: 0.05}, "accuracy")).outcome is N


def gabor(shares):
    rows = [
        {"start": start, "seed": seed, "when": when, "share": share + 0.001 * seed * (start != "pretrained")}
        for (start, when), share in shares.items()
        for seed in range(4)
    ]
    frame = Planted(PAPER, {}, num_seeds=4).frame(0)
    return Evidence({"t1": Part(frame, gabor=pd.DataFrame(rows))})


def test_filters_that_stay_far_from_gabors():
    shares = {(start, when): 0.04 for start in PAPER for when in ("before", "after", "difference")}
    shares[("pretrained", "before")] = 0.9
    assert [CLAIMS[name].judge(gabor(shares)).outcome for name in ("A10", "F1", "F2")] == [R, R, R]
    shares[("random", "after")] = 0.5
    assert CLAIMS["F1"].judge(gabor(shares)).outcome is C
    assert CLAIMS["F1"].judge(Evidence({"t1": Part(Planted(PAPER, {}).frame(0))})).outcome is X


def test_stages_that_carry_the_speed():
    starts = {"random": 1.0, "pretrained": 4.0, "pretrained upto layer1": 2.0}
    starts |= {"pretrained upto layer2": 4.0, "pretrained upto layer3": 4.0}
    frame = Planted(starts, {}, num_seeds=5, noise=0.001, spread=0.01, every=5).frame(1)
    frame = frame.assign(start=frame["scheme"])
    stages = ("stem", "layer1", "layer2", "layer3", "head")
    found = Evidence({"f10": Part(frame, stages=stages)})
    assert [CLAIMS[f"H{number}"].judge(found).outcome for number in (1, 2, 3, 5)] == [R, R, R, R]
    short = Evidence({"f10": Part(frame, stages=("stem", "layer1", "head"))})
    assert CLAIMS["H1"].judge(short).outcome is X


def test_a_jackknife_of_pairs_covers_their_mean():
    from transfusion.paper.claims.representations import jackknife

    generator, inside = np.random.default_rng(0), 0
    for _ in range(300):
        effects = generator.normal(size=6)

        def mean(seeds, effects=effects):
            return float(np.mean([effects[a] + effects[b] for a in seeds for b in seeds if a < b]))

        found = jackknife(range(6), mean)
        inside += found.low < 0 < found.high
    assert 0.91 < inside / 300 < 0.985


def compared(monkeypatch, within, across):
    """Every comparison that a study of three starts and three seeds makes, at one block."""
    frame = Planted(PAPER, {}, num_seeds=3, budget=1000).frame(3)
    seeds = frame.groupby("run")["seed"].first()
    runs = [
        (SimpleNamespace(id=run, has_weights=True, weights=lambda: {0: None, 1000: None}),
         SimpleNamespace(seed=seed, train=SimpleNamespace(steps=1000)))
        for run, seed in seeds.items()
    ]  # fmt: skip
    monkeypatch.setattr("transfusion.runs.comparisons.finished", lambda store: runs)
    draw, rows = np.random.default_rng(0), []
    for unit in units(None):
        for (a, a_step), (b, b_step) in combinations(unit.weights, 2):
            value = (within if a_step == b_step else across) + draw.normal(0, 0.005)
            rows.append({"stage": "layer4", "a_run": a, "a_step": a_step, "b_run": b, "b_step": b_step,
                         "measure": "cca", "value": value, "baseline": 0.1, "kind": unit.kind})  # fmt: skip
    return Evidence({"t1": Part(frame, similarity=pd.DataFrame(rows), stages=("stem", "layer4", "head"))})


def test_two_groups_of_networks_emerge_from_what_a_study_compares(monkeypatch):
    assert CLAIMS["G3"].judge(compared(monkeypatch, 0.8, 0.3)).outcome is R
    assert CLAIMS["G3"].judge(compared(monkeypatch, 0.3, 0.8)).outcome is C


def along(*by_seed, is_whole=False):
    """Shares along trainings on natural images, one list of (fraction, share) per seed."""
    rows = [
        {"start": "random", "seed": seed, "step": round(800 * fraction), "fraction": fraction, "share": share,
         "when": "before" if fraction == 0 else "after" if fraction == 1 else "during"}
        for seed, states in enumerate(by_seed) for fraction, share in states
    ]  # fmt: skip
    part = Part(Planted({"random": 1.0}, {}).frame(0), gabor=pd.DataFrame(rows), has_levels=is_whole)
    return Evidence({"f14": part})


def test_a_miniature_cannot_show_that_gabors_never_come():
    none = [[(0, 0.05), (0.5, 0.02), (1.0, 0.01 * seed)] for seed in range(3)]
    assert CLAIMS["F3"].judge(along(*none, is_whole=True)).outcome is C
    assert CLAIMS["F3"].judge(along(*none)).outcome is U


def test_a_training_that_has_not_ended_says_nothing_of_its_last_filters():
    fast = [(0, 0.05), (0.1, 0.6), (0.5, 0.7)]
    ended = [[*fast, (1.0, 0.8 + 0.01 * seed)] for seed in range(3)]
    early = [(0, 0.05), (0.1, 0.05)]
    assert CLAIMS["F3"].judge(along(*ended)).outcome is R
    found = CLAIMS["F3"].judge(along(*ended, early))
    assert (found.outcome, found.estimate.n) == (R, 3)
    assert CLAIMS["F3"].judge(along(early)).outcome is N
