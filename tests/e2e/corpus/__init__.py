"""Bad inputs by family, made on the spot: name -> what makes it in a folder and gives the words of the command.

Each must end within seconds in one line that starts with ``transfusion:`` and exit code 2, or in a study that
understood the input; never in a traceback, a hang or silence.
"""

from tests.e2e.corpus.arrays import arrays, batches
from tests.e2e.corpus.files import donors, folders, tables
from tests.e2e.corpus.words import commands, settings, specs

FAMILIES = (settings, specs, arrays, batches, donors, folders, tables, commands)
CASES = {f"{family.__name__}: {name}": make for family in FAMILIES for name, make in family()}
