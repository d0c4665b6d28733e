"""A SLURM of two nodes on this machine, for an honest test: no systemd, no control groups, loopback only."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
CONF = """\
ClusterName=box
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
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


def missing() -> str:
    """Why there can be no such SLURM here, or an empty text."""
    if os.name == "nt" or os.geteuid() != 0:
        return "a SLURM of one's own needs root"
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge" if absent else ""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Path]:
    """Start it below ``folder``, and end it afterwards; yields its configuration file."""
    folder.chmod(0o755)
    for name in ("state", "log", "m", "spool.n1", "spool.n2"):
        (folder / name).mkdir(mode=0o700 if name == "m" else 0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=socket.gethostname().split(".")[0], folder=folder))
    munge = [f"--{what}={folder}/{path}" for what, path in MUNGE.items()]
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    try:
        for command in (
            ["munged", *munge],
            ["slurmctld", "-f", str(conf)],
            ["slurmd", "-N", "n1", "-f", str(conf)],
            ["slurmd", "-N", "n2", "-f", str(conf)],
        ):
            subprocess.run(command, env=environment, check=True, capture_output=True)
        _wait_until_idle(environment)
        yield conf
    finally:
        for path in (*folder.glob("slurm*.pid"), folder / "m" / "munged.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGTERM)


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
    raise AssertionError(f"SLURM does not start: {told.stdout}{told.stderr}")
