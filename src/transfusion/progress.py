"""A progress bar that shows only where someone waits: on a terminal, after two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

T = TypeVar("T")
PATIENCE_S = 2.0  # what ends sooner needs no bar


def track(steps: Iterable[tuple[int, T]], what: str, total: int, show: bool) -> Iterator[T]:
    """Pass results on, and show how far they are.

    Args:
        steps: pairs of (how much of ``total`` this result stands for, result).
        what: is being done.
        total: amount of work.
        show: False for silence.
    """
    console = Console(file=sys.stderr)
    bar = Progress(console=console, transient=True, disable=not (show and console.is_terminal))
    task = bar.add_task(what, total=total)
    start = time.monotonic()
    try:
        for amount, result in steps:
            bar.advance(task, amount)
            if time.monotonic() - start > PATIENCE_S:  # a bar that flashes up and goes informs nobody
                bar.start()
            yield result
    finally:
        if bar.live.is_started:  # else rich ends the line of a bar that never was
            bar.stop()
