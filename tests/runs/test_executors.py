"""Executors of every kind: what they give, what they remember, and how they break."""

from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from transfusion.errors import ClusterError, SpecError
from transfusion.runs import executors, queue
from transfusion.runs.machine import Machine
from transfusion.runs.run import Job
from transfusion.runs.workers import Crew, Inline, carry_out_all
from transfusion.spec import RunSpec, TaskSpec

CPU = Machine(accelerator="cpu", threads=1)


class Scripted(Job):
    """A run that comes to what its seed says, at each attempt anew."""

    outcomes: dict[int, list[str]] = {}  # noqa: RUF012 - read by every worker

    def carry_out(self):
        return self.outcomes[self.run.seed].pop(0)

    @property
    def is_open(self):
        return True


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "BUSY_S", 0.01)
    monkeypatch.setattr(executors, "POLL_S", 0.01)
    monkeypatch.setattr("transfusion.runs.workers.POLL_S", 0.01)
    Scripted.outcomes.update({0: ["done"], 1: ["busy", "busy", "done"], 2: ["done"]})
    return [Scripted(RunSpec(task=TaskSpec(), model="m", seed=seed), tmp_path, CPU) for seed in range(3)]


def ends(jobs, executor):
    return {ended[0].run.seed: ended[1] for ended in carry_out_all(jobs, Crew(0, CPU), executor) if ended}


class Memo(Inline):
    """Gives one answer to calls with equal arguments, as Dask does."""

    def __init__(self):
        self.known = {}

    def submit(self, fn, /, *args, **kwargs):
        key = (fn, *args)
        if key not in self.known:
            self.known[key] = super().submit(fn, *args, **kwargs)
        return self.known[key]


class Asked:
    """Gives objects that are no futures and must be asked, as submitit does."""

    class Ticket:
        def __init__(self, value):
            self.value, self.looks = value, 0

        def done(self):
            self.looks += 1
            return self.looks > 2

        def result(self):
            return self.value

    def submit(self, fn, *args):
        return self.Ticket(fn(*args))


@pytest.mark.parametrize("make", [Inline, Memo, Asked, lambda: ThreadPoolExecutor(2)])
def test_a_run_held_elsewhere_is_tried_again_on_every_executor(jobs, make):
    assert ends(jobs, make()) == {0: "done", 1: "done", 2: "done"}


class Breaks(Inline):
    def __init__(self, error):
        self.error = error

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_exception(self.error)
        return future


class Shut(Inline):
    def submit(self, fn, /, *args, **kwargs):
        raise RuntimeError("cannot schedule new futures after shutdown")


@pytest.mark.parametrize("executor", [Breaks(BrokenProcessPool("a child died")), Breaks(CancelledError()), Shut()])
def test_an_executor_that_breaks_ends_in_one_line_that_names_it(jobs, executor):
    with pytest.raises(ClusterError, match=rf"{type(executor).__name__} broke.*with a new one") as told:
        ends(jobs, executor)
    assert "\n" not in str(told.value)
    assert ends(jobs, Inline()) == {0: "done", 1: "done", 2: "done"}  # the same call resumes


def test_what_it_says_against_one_run_is_that_run_s_failure(jobs):
    assert set(ends(jobs, Breaks(ValueError("no room"))).values()) == {"failed"}
    assert jobs[0].files.failure()["error"] == "ValueError: no room"


def test_what_is_no_executor_is_refused_by_name(jobs):
    with pytest.raises(SpecError, match=r"builtins.int is no executor: it has no submit"):
        ends(jobs, 3)

    class Delayed:
        def submit(self, fn, *args):
            return 7

    with pytest.raises(ClusterError, match=r"Delayed.submit\(\) gives builtins.int, which has no done\(\) and result"):
        ends(jobs, Delayed())


def test_runs_that_have_not_begun_are_withdrawn_when_the_caller_stops(jobs):
    class Slow(Inline):
        def __init__(self):
            self.given = []

        def submit(self, fn, /, *args, **kwargs):
            self.given.append(Future())
            return self.given[-1]

    slow = Slow()
    carried = carry_out_all(jobs, Crew(0, CPU), slow)
    assert next(carried) is None
    carried.close()
    assert [future.cancelled() for future in slow.given] == [True, True, True]
