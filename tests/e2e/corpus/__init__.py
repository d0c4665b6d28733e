"""Bad inputs by family, made on the spot: name -> what makes it in a folder and gives the words of the command.

Each must end within seconds in one line that starts with ``transfusion:`` and exit code 2; the few that are merely odd,
in a study. None may end in a traceback, a hang or silence.
"""

import re

from tests.e2e.corpus.arrays import arrays, batches
from tests.e2e.corpus.files import donors, folders, tables
from tests.e2e.corpus.lists import lists, more_tables
from tests.e2e.corpus.words import commands, settings, specs

FAMILIES = (settings, specs, arrays, batches, donors, folders, tables, lists, more_tables, commands)
CASES = {f"{family.__name__}: {name}": make for family in FAMILIES for name, make in family()}
ODD = re.compile(
    r"arrays: npz: an idle byte|folders: (a folder named x.png|a link loop)|settings: --batch-size 1$|"
    r"specs: .* that is fine"
)


def is_understood(name: str) -> bool:
    """Whether an input is odd and not bad: a study of it must run."""
    return ODD.match(name) is not None
