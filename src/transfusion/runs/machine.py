"""What a run computes on: device, precision, threads, and a record of them."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import platform
import signal
import threading
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from transfusion import __version__, cores
from transfusion.errors import SpecError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CUBLAS_WORKSPACE = ":4096:8"  # what cuBLAS needs to give the same bits every time
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PRECISIONS: dict[str, Precision] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


@dataclass(frozen=True)
class Machine:
    """How a run uses the machine.

    It is recorded beside the run and is no part of its id: it changes the last digits of a result, and with several
    ``devices`` the batch that a batch norm sees, which is each device's share. A resumed run keeps what it began with.

    Attributes:
        accelerator: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        devices: devices that share each batch of one run (data-parallel).
        threads: processor threads per process, or None for all.
        checkpoint_s: least time in seconds between two checkpoints.
    """

    accelerator: str = "auto"
    devices: int = 1
    threads: int | None = None
    checkpoint_s: float = 20.0

    def fabric(self, precision: str) -> Fabric:
        """Lightning Fabric for this machine; ``precision`` is resolved already.

        Its environment is given, so that it asks neither SLURM nor MPI: a run is one process, or starts its own.
        """
        # takes more than a second, which commands that train nothing need not wait
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.utilities import rank_zero_only

        logger = logging.getLogger("lightning_fabric")
        level = logger.level
        logger.setLevel(logging.WARNING)  # it says on stderr which precision it uses, in the middle of the display
        try:
            fabric = Fabric(
                accelerator=self.accelerator,
                devices=self.devices,
                strategy="auto" if self.devices == 1 else "ddp_spawn",
                precision=PRECISIONS[precision],
                plugins=[LightningEnvironment()],
            )
        finally:
            logger.setLevel(level)
        if self.devices == 1:  # at import it is read from SLURM_PROCID, and trackers of another rank are silent
            rank_zero_only.rank = 0  # type: ignore[attr-defined]
        return fabric

    def check(self, batch_size: int, precision: str = "auto") -> None:
        """Refuse what this machine does not have, and batches that its devices cannot share.

        Raises:
            SpecError: saying which.
        """
        kind = self.device_type()
        present = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
        if present.get(kind, self.devices) < self.devices:
            raise SpecError(
                f"{self.devices} {kind} devices were asked for; here are {present[kind]}. Try --accelerator cpu."
            )
        if precision == "float16" and kind != "cuda":
            raise SpecError(f"float16 needs a CUDA device and this is a {kind}; choose float32, bfloat16 or auto.")
        if batch_size % self.devices:
            raise SpecError(f"A batch of {batch_size} cannot be shared by {self.devices} devices: choose a multiple.")

    def here(self) -> Machine:
        """The same with threads, where they are left open: all that this process may use, or OMP_NUM_THREADS."""
        if self.threads or self.device_type() != "cpu":
            return self
        share = max(1, cores.available() // self.devices)
        return replace(self, threads=min(share, cores.thread_limit() or share))

    def settle(self) -> None:
        """Bind this process to its threads and to algorithms that give the same bits every time."""
        if self.threads:
            torch.set_num_threads(self.threads)
        if self.device_type() == "cuda":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
            torch.use_deterministic_algorithms(True, warn_only=True)
            # filling fresh memory costs time and guards nothing here
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic = True
        # its choice of kernel depends on timing, and the last bits on the kernel
        torch.backends.cudnn.benchmark = False

    def device_type(self) -> str:
        """``cpu``, ``cuda`` or ``mps``, as ``auto`` resolves here."""
        if self.accelerator != "auto":
            return "cuda" if self.accelerator == "gpu" else self.accelerator
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"


def best_precision(device_type: str) -> str:
    """The precision that this processor does well: bfloat16 only where it has the instructions for it.

    Without them bfloat16 convolutions are emulated: 9 times slower than float32 on a Zen 3 core.
    """
    if device_type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device_type == "cpu":
        probes = (getattr(torch.cpu, name, bool) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return "bfloat16" if any(probe() for probe in probes) else "float32"
    return "float32"


def describe(machine: Machine, precision: str) -> dict[str, Any]:
    """What is worth knowing about this machine when a number looks odd."""
    packages = ("torch", "torchvision", "timm", "numpy", "lightning-fabric")  # those that can move a number
    return {
        **asdict(machine),
        "accelerator": machine.device_type(),
        "precision": precision,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {"transfusion": __version__, **{name: version(name) for name in packages}},
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def end_with_parent() -> None:
    """End this process when the one that it works for ends, in any way; Ctrl-C is left to that one.

    Raises:
        RuntimeError: if no thread can be started.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        # becomes ready also when the parent was killed with SIGKILL
        connection.wait([parent.sentinel])
        os._exit(1)  # no clean-up: handlers could wait for a parent that is gone

    threading.Thread(target=watch, daemon=True).start()


def keep_memory() -> None:
    """Tell the C allocator of this process what ``environment`` sets for those that are started here; glibc only."""
    values = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}  # mallopt takes a C int; the variable below takes more
    with contextlib.suppress(AttributeError, OSError, TypeError):
        allocator = ctypes.CDLL(None)
        for parameter, value in values.items():
            allocator.mallopt(parameter, value)


def environment(threads: int | None) -> dict[str, str]:
    """Environment variables to start a training process with.

    They cannot be set from inside: OpenMP, cuBLAS and the C allocator read them when they load. The allocator is
    told to keep freed memory, since a training step frees and takes the same large blocks again and again.
    """
    values = {
        "CUBLAS_WORKSPACE_CONFIG": CUBLAS_WORKSPACE,
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**33),
    }
    return values | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
