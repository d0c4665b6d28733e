"""Where every tensor of a start came from, as a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from transfusion.errors import UnknownNameError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Origin:
    """One tensor: the rule that filled it, and its intended and actual moments.

    Attributes:
        tensor: its name.
        stage: the stage that owns it.
        rule: scheme or batch-norm mode that gave the values; ``zero``, ``one``, ``token`` (normal, 0.02), ``gain``
            or ``singular`` (computed from the drawn weight), ``kept`` (left as built) or ``tied to NAME``.
        donor_tensor: the donor's tensor that was copied or measured, if any.
        mean_asked, std_asked: moments of the distribution or donor tensor; NaN where the rule has none.
        mean, std: population moments of the values that the model now has.
    """

    tensor: str
    stage: str
    rule: str
    donor_tensor: str | None
    mean_asked: float
    std_asked: float
    mean: float
    std: float


@dataclass(frozen=True, repr=False)
class Provenance:
    """The origin of every tensor of a model, in order of registration."""

    rows: tuple[Origin, ...]

    def frame(self) -> pd.DataFrame:
        """One row per tensor, one column per attribute of ``Origin``."""
        import pandas as pd

        frame: pd.DataFrame = pd.DataFrame([asdict(row) for row in self.rows])
        return frame

    def __getitem__(self, tensor: str) -> Origin:
        """The origin of one tensor.

        Raises:
            UnknownNameError: the model has no such tensor.
        """
        for row in self.rows:
            if row.tensor == tensor:
                return row
        raise UnknownNameError(f"There is no tensor '{tensor}' in this provenance. See its frame() for their names.")

    def __repr__(self) -> str:
        """Number of tensors by stage and rule."""
        counts = Counter((row.stage, row.rule.split(" ")[0]) for row in self.rows)
        lines = [f"{stage:<12} {rule:<12} {count:>7}" for (stage, rule), count in counts.items()]
        return "\n".join([f"Provenance of {len(self.rows)} tensors", f"{'stage':<12} {'rule':<12} tensors", *lines])
