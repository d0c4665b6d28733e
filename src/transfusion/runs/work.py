"""One more worker on a study: takes what nobody works on, until nothing is left. Planning and the page are not its own.

Several workers on one folder need no scheduler: each run's lock says whether it is taken, and its result whether it is
done.
"""

from __future__ import annotations

from dataclasses import dataclass

from transfusion.runs.team import Team


@dataclass(frozen=True)
class Worked:
    """What a worker did.

    Attributes:
        ran: runs that it carried out or resumed.
        failed: run id -> message, of all runs of the study that failed, whoever carried them out.
        unseen: why some comparisons of representations failed.
    """

    ran: int
    failed: dict[str, str]
    unseen: tuple[str, ...] = ()


def work(team: Team) -> Worked:
    """Carry out what is left of the study that ``team`` belongs to, beside others that do the same.

    Raises:
        StoreError: if there is no study.
        SpecError: if this machine lacks what the team asks of it.
    """
    store = team.store
    train = store.spec().train  # says where there is no study
    team.machine.check(train.batch_size, train.precision)
    ran, seen = 0, None
    unseen: list[str] = []
    while (runs := [files.id for files in store.grid()]) != seen:  # its command may have added seeds meanwhile
        donor_run = store.donor_run()
        if donor_run:
            store.adopt(donor_run.id)
        ran += team.carry_out([files.spec() for files in store.grid()], donor_run.spec() if donor_run else None)
        # comparisons need every run of the grid; the worker that ends the last one makes them
        if not any(files.wanted for files in store.grid()):
            unseen = team.compare()
        seen = runs
    everything = [*store.grid(), *filter(None, [store.donor_run()])]
    failed = {files.id: failure["error"] for files in everything if (failure := files.failure())}
    return Worked(ran, failed, tuple(unseen))
