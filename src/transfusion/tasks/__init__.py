"""Where images and labels come from: any usual layout on disk, or pictures made on the spot."""

from transfusion.tasks.load import check, load
from transfusion.tasks.task import Split, Task

__all__ = ["Split", "Task", "check", "load"]
