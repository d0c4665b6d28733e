import pandas as pd

from transfusion.report.stage_by_stage import ComparisonTable, said, sections, warnings_of
from transfusion.similarity.cautions import Caution, packed
from transfusion.verdict.likeness import above_chance


def frame(*rows):
    columns = ["stage", "measure", "value", "baseline", "n", "images"]
    return pd.DataFrame([(*row, 640, 40) for row in rows], columns=columns)


def test_a_saturated_stage_is_neither_most_nor_least_alike():
    found = frame(("stem", "cca", 0.6, 0.2), ("body", "cca", 0.3, 0.25), ("head", "cca", 1.0, 0.9999999))
    most, least, unsaid = said(found)
    assert "No conclusion for head" in unsaid
    assert "most alike at stage stem: cca 0.600, where chance gives 0.200 (50% of the way" in most
    assert "least alike at stage body" in least
    assert above_chance(found).isna().tolist() == [False, False, True]


def test_only_the_first_measure_speaks():
    found = frame(("stem", "cca", 0.5, 0.2), ("stem", "linear_cka", 0.9, 0.1), ("head", "cca", 0.8, 0.2))
    assert all("cca" in line and "linear" not in line for line in said(found))
    assert "stage head" in said(found)[0]


def test_saturated_stages_are_named_with_what_to_do():
    (only,) = said(frame(*((stage, "cca", 1.0, 1.0) for stage in ("stem", "body", "tail", "head"))))
    assert only.startswith("No conclusion for every stage: chance alone gives a cca of 1.00 there")
    assert "--images" in only
    *_, last = said(frame(("stem", "cca", 0.6, 0.2), ("body", "cca", 1.0, 0.96), ("head", "cca", 0.4, 0.2)))
    assert last.startswith("No conclusion for body: ")


def test_the_printed_table_has_room_for_every_measure():
    measures = ("cca", "cca_squared", "svcca", "pwcca", "linear_cka", "debiased_cka", "procrustes")
    text = str(ComparisonTable(frame(*(("a_stage_of_some_length", name, 0.5, 0.25) for name in measures))))
    assert all(name in text for name in measures)
    assert text.count("a_stage_of_some_length") == 3
    assert (text.count("0.500"), "…" in text) == (7, False)


def test_one_stage_is_neither_most_nor_least():
    assert said(frame(("stem", "cca", 0.6, 0.2)))[0].startswith("A and B at stage stem: cca 0.600")
    assert "(no more than chance; n = 640" in said(frame(("stem", "cca", 0.2, 0.2)))[0]


def test_a_warning_of_many_stages_is_one_line():
    given = [
        ("stem", "cca", [Caution("rank", (4, 9), "x"), Caution("few samples", (20, 4))]),
        ("stem", "cka", [Caution("few samples", (20, 9))]),
        ("block1", "cca", [Caution("dead features", (2, 9, ""), "y")]),
        ("block2", "cca", [Caution("few samples", (20, 8))]),
        ("block3", "cca", [Caution("few samples", (10, 8))]),
        ("block4", "cca", [Caution("few samples", (10, 8))]),
        ("head", "cca", []),
    ]
    rows = [(stage, measure, packed(cautions)) for stage, measure, cautions in given]
    assert warnings_of(pd.DataFrame(rows, columns=["stage", "measure", "cautions"])) == [
        "cca at stem: A has rank 4 with 9 varying features.",
        "cca at stem, block2 to block4: n = 10 to 20 samples are fewer than 5 x 4 to 8 dimensions: compare with the "
        "baseline, not with 0.",
        "cca at block1: 2 of 9 features of B are constant and left out.",
        "cka at stem: n = 20 samples are fewer than 5 x 9 dimensions: compare with the baseline, not with 0.",
    ]


def test_pairs_of_stages_without_a_value_are_a_dash():
    grid = pd.DataFrame(
        [("a", "a", 0.5), ("a", "b", 0.7), ("b", "a", None), ("b", "b", None)], columns=["stage_a", "stage_b", "value"]
    ).assign(n=9)
    (picture,) = sections(frame(("a", "cca", 0.6, 0.2)).assign(rank_a=4, rank_b=4, cautions=""), grid)[1].parts
    assert picture.alt == "Each stage of A is most like: a with b (0.70)."
    assert "A dash" in picture.caption
    assert sorted(text.get_text() for text in picture.draw().axes[0].texts) == ["-", "-", "0.50", "0.70"]
