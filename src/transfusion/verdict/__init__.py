"""What a study's curves say, with honest error bars, from the tidy frame alone.

``curves`` reads the frame, ``inference`` holds the intervals and tests, ``effects`` sets one start against another and
``details`` reads what else there is, ``tally`` counts the runs, ``likeness`` reads comparisons of networks.
``findings`` is all of it in numbers, ``decision`` what to do; ``wording`` makes the statements, last. Imports point
this way only.
"""

from transfusion.verdict.statement import Statement
from transfusion.verdict.verdict import Verdict, conclude

__all__ = ["Statement", "Verdict", "conclude"]
