"""Regular expressions of the user's, which may never end."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from transfusion.errors import SpecError

PATIENCE_S = 2.0  # for one name


def compiled(setting: str, pattern: str) -> re.Pattern[str]:
    """Compile the pattern of a setting.

    Raises:
        SpecError: if it is none.
    """
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:  # deep nesting and huge repeats raise no re.error
        raise SpecError(f"{setting} '{pattern}' is not a regular expression: {error}.") from error


def search(setting: str, pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    """Where a pattern fits a name.

    Raises:
        SpecError: if that takes longer than any name should: ``(a+)+$`` tries every way of cutting a name to pieces.
    """
    told = f"{setting} '{pattern.pattern}' takes over {PATIENCE_S:g} s on '{name}'. Write it without nested + or *."
    with _patience(told):
        return pattern.search(name)


@contextlib.contextmanager
def _patience(message: str) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield  # only a signal can stop it, and only the main thread receives signals
        return

    def give_up(_: int, __: FrameType | None) -> None:
        raise SpecError(message)

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
