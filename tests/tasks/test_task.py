from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from transfusion.errors import TaskError
from transfusion.tasks import Task


def test_subsets_are_nested_and_stratified(make_task: Callable[..., Task]) -> None:
    task = make_task("multiclass", 3, num=90)
    labels = task.splits["train"].labels
    previous: set[int] = set()
    for size in range(1, 91):
        chosen = task.subset(size, seed=4)
        assert len(chosen) == size
        assert previous < set(chosen.tolist())
        assert np.abs(np.bincount(labels[chosen], minlength=3) - size / 3).max() <= 1
        previous = set(chosen.tolist())


def test_subset_without_size_is_everything_in_order(make_task: Callable[..., Task]) -> None:
    assert make_task(num=10).subset(None).tolist() == list(range(10))


def test_subset_is_the_seeds_own(make_task: Callable[..., Task]) -> None:
    task = make_task(num=60)
    assert task.subset(20, seed=1).tolist() == task.subset(20, seed=1).tolist()
    assert task.subset(20, seed=1).tolist() != task.subset(20, seed=2).tolist()
    assert (np.diff(task.subset(20, seed=1)) > 0).all()


@pytest.mark.parametrize("size", [0, 11])
def test_subset_of_an_impossible_size(make_task: Callable[..., Task], size: int) -> None:
    with pytest.raises(TaskError, match=f"10 training images; a subset of {size}"):
        make_task(num=10).subset(size)


def test_one_output_per_class(make_task: Callable[..., Task]) -> None:
    assert make_task("multilabel", 5, num=10).num_outputs == 5
