"""Who carries out the jobs changes no bit: threads, processes, and a process that dies while networks are compared."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from transfusion.runs.frames import similarity
from transfusion.runs.machine import Machine
from transfusion.spec import RepresentationSpec, StudySpec, TaskSpec, TrainSpec
from transfusion.study import Study, Summary, Team

pytestmark = pytest.mark.training

TASK = TaskSpec(data="embedded:fundus", image_size=32, num_images=(48, 8, 32))
TRAIN = TrainSpec(steps=8, batch_size=8, eval_every=4, augment="fundus", precision="float32")
ONE_THREAD = Machine(accelerator="cpu", threads=1)


def study(folder: Path, cache: Path, **settings: object) -> Study:
    values = {"model": "cbr_tiny_small", "schemes": ("random", "kaiming"), "seeds": (0, 1), **settings}
    return Study(StudySpec(task=TASK, train=TRAIN, **values), folder, cache=cache)


def bits(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.safetensors")}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["squeezenet1_1", pytest.param("cbr_tiny_small", marks=pytest.mark.torture)])
def test_threads_give_the_bits_of_processes(tmp_path: Path, model: str) -> None:
    beside = study(tmp_path / "processes", tmp_path / "cache", model=model)
    beside.run(workers=2, progress=False, machine=ONE_THREAD)
    expected = bits(tmp_path / "processes")
    for attempt in range(2):
        folder = tmp_path / f"threads{attempt}"
        with ThreadPoolExecutor(4) as executor:
            outcome = study(folder, tmp_path / "cache", model=model).run(executor, progress=False, machine=ONE_THREAD)
        assert (outcome.ran, outcome.failed) == (4, {})
        assert bits(folder) == expected
    assert len(expected) >= 4 * 3


class Killer(threading.Thread):
    """Kills workers from the moment that networks are compared, and some are."""

    def __init__(self, folder: Path, most: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.most = folder, most
        self.ready, self.over, self.killed = threading.Event(), threading.Event(), set[int]()

    def run(self) -> None:
        self.ready.wait()
        while len(self.killed) < self.most and not self.over.wait(0.01):
            compared = any(self.folder.glob("representations/*/*"))
            fresh = [process for process in multiprocessing.active_children() if process.pid not in self.killed]
            for process in fresh if compared or self.killed else []:
                os.kill(process.pid, signal.SIGKILL)
                self.killed.add(process.pid)


@pytest.fixture
def comparing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], tuple[Study, Summary, set[int]]]:
    """A study with comparisons, of whose comparing workers this many are killed."""

    def carried_out(name: str, kills: int) -> tuple[Study, Summary, set[int]]:
        killer, compare = Killer(tmp_path / name, kills), Team.compare

        def compare_and_tell(team: Team) -> list[str]:
            killer.ready.set()
            return compare(team)

        monkeypatch.setattr(Team, "compare", compare_and_tell)
        killer.start()
        asked = RepresentationSpec(images=32, positions=8, measures=("cca",))
        one = study(tmp_path / name, tmp_path / "cache", representations=asked, schemes=("random",), seeds=(0,))
        outcome = one.run(workers=min(kills, 1), progress=False, machine=ONE_THREAD)
        killer.over.set()
        monkeypatch.undo()
        return one, outcome, killer.killed

    return carried_out


Comparing = Callable[[str, int], "tuple[Study, Summary, set[int]]"]


@pytest.mark.slow
def test_a_worker_killed_while_networks_are_compared_is_tried_again(comparing: Comparing) -> None:
    whole, _, _ = comparing("whole", 0)
    torn, outcome, killed = comparing("torn", 1)
    assert len(killed) == 1
    assert (outcome.ran, outcome.failed, outcome.unseen) == (1, {}, [])
    assert similarity(torn.store).equals(similarity(whole.store))


@pytest.mark.torture
def test_a_comparison_whose_worker_is_always_killed_is_recorded_and_made_another_time(comparing: Comparing) -> None:
    whole, _, _ = comparing("whole", 0)
    lost, outcome, killed = comparing("lost", 1000)
    assert len(killed) >= 2
    assert (outcome.ran, outcome.failed) == (1, {})
    assert outcome.unseen
    assert all("process of this run died" in why for why in outcome.unseen)
    assert lost.run(workers=1, progress=False, machine=ONE_THREAD).unseen == []
    assert similarity(lost.store).equals(similarity(whole.store))
