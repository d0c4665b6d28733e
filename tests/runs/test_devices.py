"""One run per GPU, without a GPU: which cards each process sees, whatever torch finds in them."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from transfusion.errors import SpecError
from transfusion.runs.machine import Machine
from transfusion.runs.workers import Crew, carry_out_all

CUDA = Machine(accelerator="cuda")


@pytest.fixture
def cards(monkeypatch):
    """Pretends that this machine has some."""

    def pretend(num, visible=None):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: num > 0)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return pretend


@dataclass(frozen=True)
class Sighting:
    """A job that notes which cards its process sees; long enough for every process to get one."""

    id: str
    folder: Path
    is_open: bool = True

    def carry_out(self):
        (self.folder / self.id).write_text(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}")
        time.sleep(1)
        return "done"

    def fail(self, error, trace):
        raise AssertionError(trace)


@pytest.mark.parametrize(
    ("num", "visible", "devices", "workers", "gpus"),
    [
        (1, None, 1, 1, ("0",)),
        (2, None, 1, 2, ("0", "1")),
        (8, None, 1, 8, ("0", "1", "2", "3", "4", "5", "6", "7")),
        (2, "3,7", 1, 2, ("3", "7")),
        (2, "GPU-ab,GPU-cd", 1, 2, ("GPU-ab", "GPU-cd")),
        (4, None, 2, 2, ("0,1", "2,3")),
        (5, None, 2, 2, ("0,1", "2,3")),
        (2, None, 2, 1, ("0,1",)),
    ],
)
def test_each_run_has_its_own_cards(cards, num, visible, devices, workers, gpus):
    cards(num, visible)
    crew = Crew.fit(Machine(accelerator="auto", devices=devices), None, 10)
    assert (crew.workers, crew.gpus) == (workers, gpus)


def test_no_more_processes_start_than_there_are_runs(cards):
    cards(8)
    assert Crew.fit(CUDA, None, 3).workers == 3


def test_a_machine_without_cards_computes_on_its_processor(cards):
    cards(0)
    assert Machine().device_type() == "cpu"
    assert Crew.fit(Machine(), None, 2).gpus == ()
    with pytest.raises(SpecError, match=r"1 cuda devices were asked for; here are 0"):
        CUDA.check(32)


def test_a_batch_goes_to_as_many_cards_as_there_are_and_share_it_evenly(cards):
    cards(2)
    Machine(accelerator="cuda", devices=2).check(32)
    with pytest.raises(SpecError, match="3 cuda devices were asked for; here are 2"):
        Machine(accelerator="cuda", devices=3).check(33)
    with pytest.raises(SpecError, match="batch of 33 cannot be shared by 2 devices"):
        Machine(accelerator="cuda", devices=2).check(33)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "shares"), [(None, 1), (4, 2)])
def test_processes_see_their_own_card_alone_and_share_it_where_there_are_more(cards, tmp_path, workers, shares):
    cards(2, "3,7")
    crew = Crew.fit(CUDA, workers, 8)
    ended = [pair for pair in carry_out_all([Sighting(str(k), tmp_path) for k in range(8)], crew) if pair]
    assert [outcome for _, outcome in ended] == ["done"] * 8
    seen = {tuple(path.read_text().split()) for path in tmp_path.iterdir()}  # (process, its cards)
    assert sorted(card for _, card in seen) == ["3"] * shares + ["7"] * shares
