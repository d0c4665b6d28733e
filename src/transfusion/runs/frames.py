"""What a study keeps, as tidy pandas frames."""

from __future__ import annotations

from typing import Any

import pandas as pd

from transfusion.errors import StoreError
from transfusion.files import is_whole_table
from transfusion.runs.store import RunFiles, Store

PAIR = ["stage", "a_run", "a_step", "b_run", "b_step", "measure"]  # what distinguishes two comparisons
FOUND = ["value", "reverse", "baseline", "rank_a", "rank_b", "n", "images", "warnings", "cautions"]


def tidy(runs: list[RunFiles]) -> pd.DataFrame:
    """One row per run and evaluation, as read from disk.

    Columns: ``run start scheme batch_norm upto rest head size seed step loss auc``, then the task's other metrics,
    ``train_loss`` and ``time_s``. A missing ``upto`` is the whole network, a missing ``size`` all images.
    """
    keys = ["run", "start", "scheme", "batch_norm", "upto", "rest", "head", "size", "seed", "step", "loss", "auc"]
    rows = [{**identity, **row} for files in runs for identity in [_identity(files)] for row in files.curve()]
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=[*keys, *(column for column in frame.columns if column not in keys)])
    numbers = {column: "float64" for column in frame.columns if column not in keys or column in ("loss", "auc")}
    typed: pd.DataFrame = frame.astype(
        # Int64 has a missing value (all images); a float column would turn sizes into 1000.0
        {"start": object, "size": "Int64", "seed": "int64", "step": "int64", **numbers}
    ).copy()
    return typed


def runs_of(runs: list[RunFiles]) -> pd.DataFrame:
    """One row per run, also of those without a curve: ``run start size seed state``.

    The state is ``done``, ``failed``, ``diverged`` (its loss became NaN or infinite), ``started`` or ``new``.
    """
    rows = [{**_identity(files), "state": _state(files)} for files in runs]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=["run", "start", "size", "seed", "state"])
    return frame


def _state(files: RunFiles) -> str:
    return "diverged" if files.state == "failed" and not files.failure()["retry"] else files.state


def _identity(files: RunFiles) -> dict[str, Any]:
    spec = files.spec()
    scheme = spec.scheme
    return {
        "run": files.id,
        "start": scheme.label,
        "scheme": scheme.name,
        "batch_norm": scheme.batch_norm,
        "upto": scheme.upto,
        "rest": scheme.rest if scheme.upto else None,
        "head": scheme.head,
        "size": spec.size,
        "seed": spec.seed,
    }


def similarity(store: Store) -> pd.DataFrame:
    """How alike the networks are: one row per stage, pair of weights and measure, of the grid's runs.

    Columns: ``kind stage a_run a_step b_run b_step measure value reverse baseline rank_a rank_b n images
    warnings``; see ``transfusion.compare``. Empty where the study has none.

    Raises:
        StoreError: if a table is damaged.
    """
    files = sorted(store.representations_folder.glob("*.csv"))
    if damaged := [path for path in files if not is_whole_table(path)]:
        raise StoreError(
            f"{damaged[0]} is damaged. Run the same study command again: it repeats this comparison alone."
        )
    columns = ["kind", *PAIR, *FOUND]
    frame: pd.DataFrame = pd.DataFrame(columns=columns)
    read = [
        pd.read_csv(path, dtype=dict.fromkeys(("a_run", "b_run", "warnings", "cautions"), object)) for path in files
    ]
    # pandas warns when it concatenates empty frames, whose columns have no types yet
    if full := [each for each in read if len(each)]:
        frame = pd.concat(full)
    grid = [files.id for files in store.grid()]
    # tables of an earlier grid stay on disk; only those of the runs that the study has now count
    frame = frame[frame["a_run"].isin(grid) & frame["b_run"].isin(grid)].drop_duplicates(["kind", *PAIR])[columns]
    filled = {column: frame[column].fillna("") for column in ("warnings", "cautions")}
    found: pd.DataFrame = frame.assign(**filled).reset_index(drop=True)
    return found
