from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfusion.errors import TaskError
from transfusion.tasks.splits import complete, cut, strata, stratified_order

BOTH = {"val": 0.1, "test": 0.2}


def test_stratum_of_many_labels_is_the_rarest() -> None:
    labels = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]])
    assert strata(labels).tolist() == [1, 0, 0, 3]


@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 9), data=st.data())
@settings(max_examples=40, deadline=None)
def test_every_prefix_keeps_shares(counts: list[int], seed: int, data: st.DataObject) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    order = stratified_order(labels, seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    size = data.draw(st.integers(1, len(labels)))
    got = np.bincount(labels[order[:size]], minlength=len(counts))
    share = np.array(counts) / len(labels)
    # a position names round(t * count) of each stratum; the t that gives ``size`` is off by half a stratum at most
    assert np.abs(got - size * share).max() <= 1 + share.max() * len(counts) / 2


def test_cut_of_single_images_is_exact_per_class() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    chosen = cut(labels, [str(row) for row in range(160)], 0.1, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [10, 5, 1]


@given(
    sizes=st.lists(st.integers(1, 6), min_size=10, max_size=60),
    fraction=st.floats(0.05, 0.6),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_cut_takes_whole_patients_and_hits_its_target(sizes: list[int], fraction: float, seed: int) -> None:
    patients = [f"p{i}" for i, size in enumerate(sizes) for _ in range(size)]
    labels = np.random.default_rng(seed).integers(0, 3, len(patients))
    chosen = cut(labels, patients, fraction, seed)
    inside = {patient for patient, taken in zip(patients, chosen, strict=True) if taken}
    outside = {patient for patient, taken in zip(patients, chosen, strict=True) if not taken}
    assert not inside & outside
    assert abs(chosen.sum() - fraction * len(patients)) <= max(sizes)


def test_cut_depends_on_seed_alone() -> None:
    labels, patients = np.arange(100) % 2, [f"p{row // 2}" for row in range(100)]
    first = cut(labels, patients, 0.2, seed=1)
    assert (first == cut(labels, patients, 0.2, seed=1)).all()
    assert (first != cut(labels, patients, 0.2, seed=2)).any()


def test_missing_splits_are_cut_from_train() -> None:
    labels = np.arange(200) % 2
    split = complete([None] * 200, labels, None, BOTH, seed=0)
    assert [int((split == name).sum()) for name in ("train", "val", "test")] == [140, 20, 40]


def test_given_splits_stand() -> None:
    given_splits = ["train"] * 100 + ["test"] * 40
    split = complete(given_splits, np.arange(140) % 2, None, BOTH, seed=0)
    assert (split[100:] == "test").all()
    assert int((split == "val").sum()) == 10
    assert int((split[:100] == "test").sum()) == 0


def test_a_patient_of_a_given_split_is_never_cut() -> None:
    patients = [f"p{row}" for row in range(50)] * 2
    given_splits = ["train"] * 50 + ["test"] * 10 + ["train"] * 40
    split = complete(given_splits, np.arange(100) % 2, patients, BOTH, seed=3)
    cut_off = {patients[row] for row in np.flatnonzero(split == "val")}
    assert cut_off
    assert not cut_off & set(patients[50:60])
    assert not cut_off & {patients[row] for row in np.flatnonzero(split == "train")}


def test_nothing_is_cut_at_fraction_zero() -> None:
    split = complete([None] * 10, np.arange(10) % 2, None, {"val": 0.0, "test": 0.0}, seed=0)
    assert (split == "train").all()


def test_too_few_patients_to_cut() -> None:
    with pytest.raises(
        TaskError,
        match=r"2 groups .patients, or copies of one file. are too few to cut a test split from.*test_fraction",
    ):
        complete([None] * 20, np.arange(20) % 2, ["a"] * 10 + ["b"] * 10, {"val": 0.1, "test": 0.1}, seed=0)


def test_no_training_images() -> None:
    with pytest.raises(TaskError, match="No training images"):
        complete(["test"] * 4, np.arange(4) % 2, None, {"val": 0.0, "test": 0.0}, seed=0)
