import itertools
import json

import numpy as np
import pandas as pd
import pytest

from transfusion.verdict.likeness import MARGIN, read_likeness
from transfusion.verdict.wording.networks import statements

STAGES = ("stem", "middle", "head")
STARTS = ("pretrained", "mean_var", "random")


def curves(seeds):
    return pd.DataFrame(
        {"run": f"{start}{seed}", "scheme": start, "batch_norm": "identity", "upto": None, "rest": None,
         "seed": seed, "step": step, "auc": 0.5}
        for start in STARTS for seed in range(seeds) for step in (0, 100)
    )  # fmt: skip


def comparisons(seeds=4, between_starts=(0.4, 0.6, 0.8), between_seeds=0.8, kept=(0.9, 0.6, 0.3), noise=0.005):
    """Similarities with a known truth by stage: ``kept`` of before and after, the others of trained networks."""
    draw = np.random.default_rng(0)
    rows = []

    def add(kind, place, a, a_step, b, b_step, value):
        value += noise * draw.normal()
        rows.append((kind, STAGES[place], a, a_step, b, b_step, "cca", value, value, 0.1, 9, 9, 999, 99, ""))

    for place in range(3):
        for seed in range(seeds):
            runs = [f"{start}{seed}" for start in STARTS]
            for run in runs:
                add("grid", place, run, 0, run, 100, kept[place])
                add("dynamics", place, run, 50, run, 100, 0.97)
            for a, b in itertools.combinations(runs, 2):
                add("grid", place, a, 100, b, 100, 0.99)  # of one seed: random numbers in common
                add("grid", place, a, 0, b, 100, 0.2)
        for first, second in itertools.combinations(range(seeds), 2):
            for a, b in itertools.product(STARTS, repeat=2):
                value = between_seeds if a == b else between_starts[place]
                add("seeds", place, f"{a}{first}", 100, f"{b}{second}", 100, value)
    columns = (
        "kind stage a_run a_step b_run b_step measure value reverse baseline rank_a rank_b n images warnings".split()
    )
    return pd.DataFrame(rows, columns=columns)


def with_chance(frame, **chance):
    """The same comparisons with another chance at the stages that are named."""
    return frame.assign(baseline=frame["stage"].map(chance).fillna(frame["baseline"]))


def read(seeds=4, **truth):
    return read_likeness(curves(seeds), comparisons(seeds, **truth), "pretrained", "random")


def said(likeness):
    """Outcome -> statement, of what is said of networks."""
    return {one.outcome: one for one in statements(likeness)}


def test_where_the_pretrained_network_changes_least_and_most():
    likeness = read()
    assert likeness.stages == STAGES
    assert likeness.change["pretrained"]["stem"].value.estimate == pytest.approx(0.9, abs=0.01)
    assert likeness.change["pretrained"]["stem"].value.n == 4
    found = said(likeness)
    assert found["least"].estimate == pytest.approx(0.9, abs=0.01)
    assert found["most"].estimate == pytest.approx(0.3, abs=0.01)
    assert "at stem" in found["least"].text
    assert "at head" in found["most"].text


def test_stages_are_ranked_by_the_way_from_chance_to_identity():
    frame = with_chance(comparisons(kept=(0.70, 0.5, 0.75), noise=0.001), stem=0.2, middle=0.45, head=0.53)
    found = said(read_likeness(curves(4), frame, "pretrained", "random"))
    assert "at stem" in found["least"].text
    assert "62 % of the way from chance to identity" in found["least"].text
    assert "at middle" in found["most"].text
    below = with_chance(comparisons(kept=(0.70, 0.5, 0.4)), stem=0.2, middle=0.45, head=0.53)
    assert "no more than chance" in said(read_likeness(curves(4), below, "pretrained", "random"))["most"].text


def test_a_stage_without_a_finite_similarity_is_never_named():
    for lost in STAGES:
        frame = comparisons()
        frame.loc[frame["stage"] == lost, "value"] = np.nan
        likeness = read_likeness(curves(4), frame, "pretrained", "random")
        texts = [one.text for one in statements(likeness)]
        assert not any(word in text for text in texts for word in ("nan", f"at {lost}", "None"))
        assert {"least", "most"} <= set(said(likeness))
    frame.loc[frame["stage"] == "stem", "value"] = np.nan
    assert not {"least", "most"} & set(said(read_likeness(curves(4), frame, "pretrained", "random")))


def test_the_margin_is_of_the_room_above_chance():
    """0.04 below the yardstick is little where chance gives 0.1, and a fifth of the room where it gives 0.8."""
    frame = comparisons(between_starts=(0.86,) * 3, between_seeds=0.9, noise=0.001)
    assert read_likeness(curves(4), frame, "pretrained", "random").alike_from == "stem"
    tight = read_likeness(curves(4), with_chance(frame, head=0.8), "pretrained", "random")
    assert tight.alike_from is None
    found = said(tight)["less alike"]
    assert found.estimate == pytest.approx(-0.04, abs=0.005)
    assert found.interval.high < 0
    assert tight.gaps["head"][found.start, found.against].share.estimate == pytest.approx(-0.2, abs=0.01)


def test_networks_no_more_alike_than_chance_are_never_called_alike():
    frame = comparisons(between_starts=(0.5,) * 3, between_seeds=0.5, noise=0.001)
    assert read_likeness(curves(4), frame, "pretrained", "random").alike_from == "stem"
    by_chance = read_likeness(curves(4), with_chance(frame, stem=0.5, middle=0.5, head=0.5), "pretrained", "random")
    assert by_chance.alike_from is None
    assert not any(gap.is_alike for gap in by_chance.gaps["head"].values())
    assert "not shown to be more alike than chance" in said(by_chance)["unknown"].text


def test_every_comparison_is_held_against_its_own_chance():
    """At one stage: the yardstick is half way from its chance to identity, the others are at theirs."""
    frame = comparisons(between_starts=(0.6,) * 3, between_seeds=0.6)
    own = frame["a_run"].str[:-1] == frame["b_run"].str[:-1]
    frame["baseline"] = np.where(own, 0.2, 0.6)
    likeness = read_likeness(curves(4), frame, "pretrained", "random")
    assert likeness.alike_from is None
    assert likeness.gaps["stem"]["pretrained", "random"].share.estimate == pytest.approx(-0.5, abs=0.02)
    assert likeness.gaps["stem"]["pretrained", "random"].value.estimate == pytest.approx(0, abs=0.01)


def test_from_which_stage_on_all_starts_look_alike():
    likeness = read()
    assert likeness.alike_from == "head"
    assert "From head on" in said(likeness)["alike"].text
    assert read(between_starts=(0.8, 0.8, 0.8)).alike_from == "stem"


def test_stages_where_chance_gives_nearly_1_say_nothing():
    frame = comparisons(between_starts=(0.4, 0.8, 0.8), kept=(0.9, 0.6, 0.95))
    frame.loc[frame["stage"] == "head", "baseline"] = 0.97
    likeness = read_likeness(curves(4), frame, "pretrained", "random")
    assert "at stem" in said(likeness)["least"].text
    assert "at middle" in said(likeness)["most"].text
    assert likeness.alike_from == "middle"
    assert "head" in said(likeness)["too few images"].text
    full = read_likeness(curves(4), frame.assign(baseline=1.0), "pretrained", "random")
    assert set(said(full)) == {"unknown"}


def test_no_interval_leaves_what_a_similarity_can_be():
    change = read(seeds=2, kept=(0.98, 0.5, 0.02), noise=0.1).change["pretrained"].values()
    assert all(0 <= one.value.low <= one.value.high <= 1 for one in change)


def test_alike_in_the_middle_only_is_not_alike_from_there_on():
    likeness = read(between_starts=(0.4, 0.8, 0.4))
    assert likeness.alike_from is None
    assert "at head" in said(likeness)["less alike"].text.lower()


def test_a_gap_of_just_the_margin_is_never_called_alike():
    assert read(between_starts=(0.8 - MARGIN - 0.02,) * 3).alike_from is None
    assert read(between_starts=(0.8 - MARGIN + 0.02,) * 3).alike_from == "stem"


def test_much_noise_leaves_it_open():
    likeness = read(between_starts=(0.8, 0.8, 0.8), noise=0.2)
    assert likeness.alike_from is None
    assert "unknown" in said(likeness)


def test_one_seed_has_no_yardstick_and_two_have_no_interval():
    alone, couple = read(1), read(2)
    assert alone.alike_from is couple.alike_from is None
    assert said(alone)["unknown"].interval is None
    assert "it takes two seeds" in alone.between_seeds["head"].reason
    gap = couple.gaps["head"]["pretrained", "random"]
    assert np.isnan(gap.value.low)
    assert not gap.is_alike
    assert "one pair, which shows no spread" in gap.value.reason
    assert "than chance" not in said(couple)["unknown"].text, "there is no interval to say so"


@pytest.mark.slow
def test_the_interval_of_pairs_of_seeds_covers_the_truth():
    """Seeds with an effect of their own: 100 studies of 5 seeds, nominal 95 %; two standard errors are 4.4 points."""
    draw, hits = np.random.default_rng(1), 0
    for _ in range(100):
        frame, effect = comparisons(5, noise=0.0), draw.normal(0, 0.03, 5)
        pairs = frame["kind"] == "seeds"
        seeds = frame[["a_run", "b_run"]].map(lambda run: int(run[-1]))
        frame.loc[pairs, "value"] += effect[seeds["a_run"][pairs]] + effect[seeds["b_run"][pairs]]
        frame["value"] += draw.normal(0, 0.005, len(frame))
        found = read_likeness(curves(5), frame, "pretrained", "random").between_seeds["stem"]
        hits += found.low <= 0.8 <= found.high
    assert 90 <= hits <= 99


def test_nothing_compared_says_nothing():
    assert read_likeness(curves(2), comparisons(2).iloc[:0], "pretrained", "random") is None


def test_two_untrained_networks_stand_beside_two_trained_ones():
    """What networks share before they have learned anything is no finding about what they learned."""
    trained = comparisons()
    untrained = trained[trained["kind"] == "seeds"].assign(kind="untrained", a_step=0, b_step=0, value=0.33)
    found = read_likeness(curves(4), pd.concat([trained, untrained]), "pretrained", "random")
    yardstick = said(found)["yardstick"]
    assert yardstick.text.startswith("At head, two trainings of random with different seeds have CCA similarity 0.80 (")
    assert "Untrained, two such networks have 0.33" in yardstick.text
    assert yardstick.interval == found.between_seeds["head"]
    assert "yardstick" not in said(read())  # never compared


def test_plain_values():
    plain = json.loads(json.dumps(read().to_dict()))
    assert plain["change"]["random"]["stem"]["n"] == 4
    assert plain["change"]["random"]["stem"]["share"]["estimate"] == pytest.approx(8 / 9, abs=0.01)
    assert plain["gaps"]["head"]["mean_var and random"]["alike"]
    assert set(plain["gaps"]["stem"]) == {"pretrained and mean_var", "pretrained and random", "mean_var and random"}
    assert plain["alike_from"] == "head"
