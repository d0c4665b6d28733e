"""What a study's curves say, with honest error bars, from the tidy frame alone.

``curves`` reads the frame, ``inference`` holds the intervals and tests, ``comparison`` sets every start against the
baseline, ``sentences`` says it in words, ``conclusion`` puts it together.
"""

from transfusion.verdict.verdict import Verdict, conclude

__all__ = ["Verdict", "conclude"]
