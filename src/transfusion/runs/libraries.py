"""Loads what every run needs, in the server from which their processes are forked: seconds, once instead of each time.

The server looks whether its parent lives only when all is loaded, and would hold the parent's output open until then.
"""

import contextlib
import importlib
import os
import threading

LIBRARIES = ("transfusion.runs.run", "lightning_fabric", "torchvision")


def load(names: tuple[str, ...]) -> None:
    """Import modules; ends this process if its parent ends meanwhile."""
    loaded, parent = threading.Event(), os.getppid()

    def watch() -> None:
        while not loaded.wait(0.1):
            if os.getppid() != parent:
                os._exit(1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    # what is lacking here, memory included, is told by the process that is forked and needs it
    with contextlib.suppress(Exception):
        for name in names:
            importlib.import_module(name)
    loaded.set()
    watcher.join()  # a process that is forked while a second thread runs may hang


load(LIBRARIES)
