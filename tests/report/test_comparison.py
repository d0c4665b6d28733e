import pandas as pd

from transfusion.report.comparison import above_chance, said


def frame(*rows):
    columns = ["stage", "measure", "value", "baseline", "n", "images"]
    return pd.DataFrame([(*row, 640, 40) for row in rows], columns=columns)


def test_a_saturated_stage_is_neither_most_nor_least_alike():
    found = frame(("stem", "cca", 0.6, 0.2), ("body", "cca", 0.3, 0.25), ("head", "cca", 1.0, 0.9999999))
    most, least = said(found)
    assert "most alike at stage stem: cca 0.600, where chance gives 0.200 (50% of the way" in most
    assert "least alike at stage body" in least
    assert above_chance(found).isna().tolist() == [False, False, True]


def test_only_the_first_measure_speaks():
    found = frame(("stem", "cca", 0.5, 0.2), ("stem", "linear_cka", 0.9, 0.1), ("head", "cca", 0.8, 0.2))
    assert all("cca" in line and "linear" not in line for line in said(found))
    assert "stage head" in said(found)[0]


def test_nothing_is_said_where_every_stage_is_saturated():
    assert said(frame(("head", "cca", 1.0, 1.0))) == []
