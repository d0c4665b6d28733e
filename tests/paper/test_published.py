"""The paper's own numbers under our rules; expected values were computed once with an independent Welch script."""

import pytest

from transfusion.paper.published import TABLES, Cell, agreement, difference, same_within
from transfusion.paper.rules import Outcome


def gap_of(table, column, a, b, n):
    cells = TABLES[table].cells[column]
    return difference(cells[a], cells[b], n), cells[a], cells[b]


@pytest.mark.parametrize(
    ("table", "column", "a", "b", "n", "expected"),
    [
        ("T1", "all", "pretrained", "random", 5, (0.0020, 0.0012, 0.0028)),
        ("T1", "all", "pretrained", "mean_var", 5, (0.0010, 0.0005, 0.0015)),
        ("T2", "50k", "pretrained", "random", 3, (0.0040, 0.0009, 0.0071)),
        ("T2", "200k", "pretrained", "mean_var", 3, (0.0020, -0.0001, 0.0041)),
        ("T4", "10%", "pretrained", "random", 3, (0.093, 0.0617, 0.1243)),
        ("T4", "10%", "mean_var", "random", 5, (0.041, 0.0234, 0.0586)),
        ("T4", "100%", "pretrained", "random", 5, (-0.004, -0.0069, -0.0011)),
        ("T5", "Hernia", "pretrained", "mean_var", 3, (0.014, -0.008, 0.036)),
        ("T5", "Nodule", "pretrained", "random", 5, (0.054, 0.044, 0.064)),
    ],
)
def test_differences_of_printed_numbers(table, column, a, b, n, expected):
    gap, *_ = gap_of(table, column, a, b, n)
    digits = 3 if table == "T5" else 4
    assert (gap.estimate, gap.low, gap.high) == pytest.approx(expected, abs=0.6 * 10**-digits)


@pytest.mark.parametrize(
    ("table", "column", "a", "b", "n", "p"),
    [
        ("T2", "50k", "pretrained", "random", 3, 0.199),
        ("T2", "300k", "pretrained", "random", 3, 0.002),
        ("T4", "40%", "pretrained", "mean_var", 3, 0.248),
        ("T4", "100%", "pretrained", "mean_var", 5, 0.007),
        ("T4", "10%", "pretrained", "random", 3, 0.997),
    ],
)
def test_sameness_of_printed_numbers(table, column, a, b, n, p):
    gap, one, other = gap_of(table, column, a, b, n)
    assert same_within(gap, one, other, n, 0.005) == pytest.approx(p, abs=6e-4)


def test_macro_means_of_table_5_carry_no_negligible_effect():
    means = {
        start: sum(row[start].mean for row in TABLES["T5"].cells.values()) / 14 for start in ("pretrained", "random")
    }
    assert means["pretrained"] - means["random"] == pytest.approx(0.015, abs=5e-4)


def test_every_table_has_all_starts_in_every_column():
    assert {name: len(table.cells) for name, table in TABLES.items()} == {"T1": 1, "T2": 5, "T3": 2, "T4": 6, "T5": 14}
    assert all(set(row) == {"pretrained", "mean_var", "random"} for t in TABLES.values() for row in t.cells.values())


def test_a_printed_spread_may_be_half_a_digit_larger():
    assert TABLES["T1"].cells["all"]["random"].half_digit == pytest.approx(0.000005)
    assert TABLES["T2"].cells["50k"]["random"].half_digit == pytest.approx(0.00005)


CELL = Cell(0.9, 0.002, 0.0005, 5)


def test_equal_numbers_agree_and_far_ones_differ():
    assert agreement([0.899, 0.9, 0.901, 0.9, 0.9], CELL).outcome is Outcome.REPLICATED
    assert agreement([0.949, 0.95, 0.951, 0.95, 0.95], CELL).outcome is Outcome.CONTRADICTED
    assert agreement([0.93, 0.9, 0.87], CELL).outcome is Outcome.CANNOT_TELL
    assert agreement([0.9], CELL).outcome is Outcome.CANNOT_TELL


def test_an_unstated_number_of_runs_takes_the_weaker_outcome():
    known, unknown = CELL, Cell(0.9, 0.002, 0.0005, None)
    values = [0.9022, 0.9022, 0.9023, 0.9021, 0.9022]
    assert agreement(values, known).outcome is Outcome.REPLICATED
    assert agreement(values, unknown).outcome is Outcome.CANNOT_TELL
