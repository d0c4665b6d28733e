"""Workers on a cluster that SLURM manages: one readable script in the study's folder, submitted as an array.

SLURM starts the workers, starts those again that it preempted or whose node failed, and knows which are left; the
study's folder knows everything else. Nothing is asked of SLURM's accounting, which not every cluster has.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfusion.errors import ClusterError, SpecError, StoreError
from transfusion.files import read_json, write_json, write_text

OURS = ("array", "error", "open-mode", "output", "parsable", "requeue", "signal", "wrap")  # what the script sets
QUEUE_S = 5.0  # between two looks at the queue, which all users share
PATIENCE = 3  # looks at an empty queue before all workers are given up: folders on a network lag behind

SCRIPT = """\
#!/bin/bash
# Each task of this array is one more worker on the study in this folder. Written by `transfusion study --cluster
# slurm`, which writes it anew; to change something, copy it, edit the copy and submit that with sbatch.
{options}

{setup}
again() {{  # the next life resumes from the last checkpoint
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
}}
trap again USR1  # SLURM's warning that the time is nearly up
{worker} &
worker=$!
wait "$worker"
code=$?
while kill -0 "$worker" 2>/dev/null; do wait "$worker"; code=$?; done  # it was only the warning
if [ "$code" -gt 128 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt 3 ]; then
    again  # something killed the worker
fi
exit "$code"
"""


@dataclass(frozen=True)
class Slurm:
    """Carry out a study by workers that SLURM starts.

    Attributes:
        jobs: workers, each a task of one array.
        options: of ``sbatch``, without dashes, such as ``{"partition": "gpu", "gpus": "1", "time": "4:00:00"}``; True
            stands for an option without a value.
        setup: shell commands before each worker, such as ``module load cuda``.

    Raises:
        SpecError: if an option is none, or is set already.

    Examples:
        >>> Slurm(2, {"partition": "gpu", "exclusive": True}).lines()
        ['#SBATCH --array=1-2', '#SBATCH --partition=gpu', '#SBATCH --exclusive']
    """

    jobs: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    setup: str = ""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise SpecError(f"A cluster needs 1 job or more (got {self.jobs}).")
        for name, value in self.options.items():
            if name in OURS:
                raise SpecError(f"--{name} is set in the worker's script; write a script of your own to change it.")
            # a line break would end the comment and run the rest as shell commands
            if not re.fullmatch(r"[a-z][a-z-]+", name) or "\n" in str(value):
                raise SpecError(f"'{name}={value}' is no option of sbatch. Give its long name, as in partition=gpu.")

    @classmethod
    def of(cls, jobs: int, settings: Iterable[str]) -> Slurm:
        r"""From KEY=VALUE of the command line; ``setup`` may be there several times.

        Examples:
            >>> Slurm.of(8, ["time=4:00:00", "setup=module load cuda", "setup=export A=1"])
            Slurm(jobs=8, options={'time': '4:00:00'}, setup='module load cuda\nexport A=1')
        """
        pairs = [setting.partition("=") for setting in settings]
        setup = [value for key, _, value in pairs if key == "setup"]
        options = {key: value if equals else True for key, equals, value in pairs if key != "setup"}
        return cls(jobs, options, "\n".join(setup))

    def lines(self, num: int | None = None) -> list[str]:
        """The options as a script has them, for ``num`` tasks."""
        given = {"array": f"1-{num or self.jobs}", **self.options}
        return [f"#SBATCH --{key}" + ("" if value is True else f"={_quoted(value)}") for key, value in given.items()]

    def script(self, folder: Path, num: int, worker: list[str], variables: Mapping[str, str]) -> str:
        """The script of a worker.

        Args:
            folder: for its logs.
            num: of tasks.
            worker: command.
            variables: of its environment.
        """
        ours = {
            "job-name": f"transfusion-{folder.parent.name}",
            "output": str(folder).replace("%", "%%") + "/%A_%a.log",  # sbatch expands % itself
            "open-mode": "append",  # a requeued task would otherwise wipe out why it was killed
            "signal": "B:USR1@60",  # to the batch shell, 60 s before the time limit
        }
        fixed = [f"#SBATCH --{key}={_quoted(value)}" for key, value in ours.items() if key not in self.options]
        exports = [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]
        setup = "\n".join([*self.setup.splitlines(), *exports])
        options = "\n".join([*fixed, "#SBATCH --requeue", *self.lines(num)])
        return SCRIPT.format(options=options, setup=setup, worker=shlex.join(worker))


def _quoted(value: object) -> str:
    return str(value) if re.fullmatch(r"[\w./:,=@%+\[\]-]+", str(value)) else '"' + str(value).replace('"', '\\"') + '"'


class Workers:
    """The workers on one study that SLURM manages.

    Args:
        cluster: what to ask of it.
        study: its folder.
        worker: options of ``transfusion work``.
        cache: of decoded images, which all nodes must see.
    """

    def __init__(self, cluster: Slurm, study: Path, worker: list[str], cache: Path) -> None:
        self.cluster = cluster
        self.folder = study.absolute() / "slurm"
        self.script_path = self.folder / "worker.sh"
        self._job_path = self.folder / "job.json"
        self._worker = [sys.executable, "-m", "transfusion", "work", str(study.absolute()), "--no-wait", *worker]
        self._cache = cache
        self._submitted = False
        self._looked, self._empty = 0.0, 0
        self.job = self._earlier()

    def _earlier(self) -> str | None:
        """The job that an earlier command submitted and that is still in the queue."""
        try:
            job = str(read_json(self._job_path, "")["job"])
        except (StoreError, KeyError):
            return None
        return job if self._in_queue(job) else None

    def submit(self, num: int) -> None:
        """Write the script and submit it as an array of at most ``num`` tasks.

        Raises:
            ClusterError: with what sbatch says against it.
        """
        num = min(num, self.cluster.jobs)
        variables = {"TRANSFUSION_CACHE": str(self._cache)}
        write_text(self.script_path, self.cluster.script(self.folder, num, self._worker, variables))
        done = _call("sbatch", "--parsable", str(self.script_path))
        if done.returncode:
            raise ClusterError(f"sbatch refuses {self.script_path}: {_line(done.stderr)}")
        self.job, self._submitted, self._empty = done.stdout.strip().split(";")[0], True, 0
        write_json(self._job_path, {"job": self.job, "tasks": num, "since": time.time()})

    def look(self, unfinished: int) -> None:
        """See that somebody is left who works on the study; called as often as one likes.

        Args:
            unfinished: runs.

        Raises:
            ClusterError: if all workers have ended.
        """
        if time.monotonic() - self._looked < QUEUE_S:
            return
        self._empty = 0 if self._in_queue(str(self.job)) else self._empty + 1
        self._looked = time.monotonic()
        if self._empty < PATIENCE:
            return
        if self._submitted:
            raise ClusterError(
                f"All jobs of {self.job} have ended and {unfinished} runs are unfinished.{self._last_words()} The same "
                f"command submits new ones, which resume; logs are in {self.folder}."
            )
        self.submit(unfinished)  # those of an earlier command have ended

    def _in_queue(self, job: str) -> bool:
        """Whether tasks of a job wait or run; taken to be so where the queue cannot be asked at the moment."""
        asked = _call("squeue", "--noheader", "--format=%T", f"--jobs={job}")
        # SLURM forgets ended jobs after minutes and then calls their id invalid, in either case of the I
        return bool(asked.stdout.strip()) if asked.returncode == 0 else "nvalid job id" not in asked.stderr

    def _last_words(self) -> str:
        """The last line of the newest log."""
        logs = sorted(self.folder.glob(f"{self.job}_*.log"), key=lambda path: path.stat().st_mtime)
        lines = logs[-1].read_text(errors="replace").split("\n") if logs else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" Last words: {last[:300].rstrip('.')}." if last else ""


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ClusterError(
            f"{command[0]} cannot be called here ({error.strerror}): submit from a machine of the cluster, or start "
            "workers by hand with transfusion work DIR."
        ) from error


def _line(text: str) -> str:
    return " ".join(text.split()) or "it gives no reason."
