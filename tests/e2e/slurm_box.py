"""A SLURM of two nodes on this machine, for an honest test: no systemd, no control groups, loopback only."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
# a requeued task starts again once its credential has expired, which is after two minutes unless it is said
CONF = """\
ClusterName=box
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
SlurmctldPort=16817
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
KillWait=5
MinJobAge=300
JobRequeue=1
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[16821-16822] CPUs=1 State=UNKNOWN
PartitionName=debug Nodes=n[1-2] Default=YES MaxTime=60 State=UP
"""


class MissingError(Exception):
    """Why there can be no such SLURM here."""


@contextlib.contextmanager
def running() -> Iterator[Path]:
    """Start it, and end it afterwards; yields its configuration file.

    Its folder is right below that of temporary files: munged insists that everybody may enter each folder above its
    socket, which those that pytest makes are not, and a socket's path must be short.

    Raises:
        MissingError: with the exact reason.
    """
    if os.name == "nt" or os.geteuid() != 0:
        raise MissingError("a SLURM of one's own needs root")
    if absent := [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]:
        raise MissingError(f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge")
    with tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as name, _started(Path(name)) as conf:
        yield conf


@contextlib.contextmanager
def _started(folder: Path) -> Iterator[Path]:
    folder.chmod(0o755)
    for name in ("state", "log", "m", "spool.n1", "spool.n2"):
        (folder / name).mkdir(mode=0o700 if name == "m" else 0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=socket.gethostname().split(".")[0], folder=folder))
    munge = [f"--{what}={folder}/{path}" for what, path in MUNGE.items()]
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": PATH}
    try:
        for command in (
            ["munged", *munge],
            ["slurmctld", "-f", str(conf)],
            ["slurmd", "-N", "n1", "-f", str(conf)],
            ["slurmd", "-N", "n2", "-f", str(conf)],
        ):
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if ended.returncode:
                raise MissingError(f"{command[0]} ends with {ended.returncode}: {ended.stderr.strip()}")
        _wait_until_idle(environment)
        yield conf
    finally:
        for path in (*folder.glob("slurm*.pid"), folder / "m" / "munged.pid"):
            with contextlib.suppress(OSError, ValueError):
                _end(int(path.read_text()))


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:  # until the system says that there is no such process
        os.kill(pid, 0)
        time.sleep(0.05)


MUNGE = {
    "key-file": "munge.key",
    "socket": "munge.socket",
    "pid-file": "m/munged.pid",
    "log-file": "m/munged.log",
    "seed-file": "m/munged.seed",
}


def _wait_until_idle(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        told = subprocess.run(
            ["sinfo", "-h", "-o", "%D %T"], env=environment, capture_output=True, text=True, check=False
        )
        if told.stdout.strip() == "2 idle":
            return
        time.sleep(0.5)
    raise MissingError(f"SLURM does not start: {told.stdout}{told.stderr}")
