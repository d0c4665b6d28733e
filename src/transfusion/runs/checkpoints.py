"""The latest two states of an unfinished run: where one is damaged the other costs a few steps, not the run."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from transfusion.files import write_atomically
from transfusion.runs.tensors import save_pickled

SIZE = 32  # bytes of the digest that ends the file: torch does not check what it reads


class Checkpoints:
    """Two files, each a state with what must be on disk beside it."""

    def __init__(self, folder: Path) -> None:
        self.latest = folder / "checkpoint.pt"
        self.previous = folder / "checkpoint.previous.pt"

    def save(self, state: dict[str, Any], num_rows: int, machine: dict[str, Any]) -> None:
        """Keep a state; the one before it stays, the one before that goes.

        Args:
            state: of a trainer.
            num_rows: of the curve, up to this state.
            machine: what the run runs on: the same bits need the same threads, devices and precision.
        """
        kept = {"state": state, "num_rows": num_rows, "machine": machine}
        write_atomically(self.latest, lambda temporary: self._write(temporary, kept))

    def _write(self, temporary: Path, kept: dict[str, Any]) -> None:
        save_pickled(kept, temporary)
        digest = _digest(temporary.read_bytes())
        with temporary.open("ab") as file:
            file.write(digest)
        # the new one is whole on disk before the old ones move: at any moment one of the two can be read
        if self.latest.exists():
            self.latest.replace(self.previous)

    def load(self, num_rows: int, last_step: int) -> dict[str, Any] | None:
        """The latest that is whole, fits a curve of ``num_rows`` rows and does not lie beyond ``last_step``."""
        for path in (self.latest, self.previous):
            kept = _read(path)
            # a state ahead of the curve would leave rows out of it for good
            if kept and kept["num_rows"] <= num_rows and kept["state"]["step"] <= last_step:
                return kept
        return None

    def remove(self) -> None:
        """Remove both."""
        for path in (self.latest, self.previous):
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if _digest(content[:-SIZE]) != content[-SIZE:]:
        return None
    kept: dict[str, Any] = torch.load(io.BytesIO(content[:-SIZE]), map_location="cpu", weights_only=True)
    return kept


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=SIZE).digest()
