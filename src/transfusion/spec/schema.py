"""What an id leaves out: every setting that has the default of the schema version written down here.

An id hashes what differs from these defaults. So a setting that comes to be later, entered here with its first
default, makes no new runs; and a default that changes in ``spec`` is not changed here, so that the new value is a
difference and the old one still is none. An entry is never changed or removed; a setting without an entry is always
hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

VERSION = 1  # raise it only where what a run computes changes for the same settings: every id changes with it

RUN: dict[str, Any] = {
    "donor": None,
    "donor_fingerprint": None,
    "size": None,
    "seed": 0,
    "task.layout": "auto",
    "task.image_size": None,
    "task.crop": "square",
    "task.channels": None,
    "task.labels": None,
    "task.image_column": None,
    "task.label_column": None,
    "task.patient_column": None,
    "task.split_column": None,
    "task.leave_out": [],
    "task.label_pattern": None,
    "task.label_separator": None,
    "task.uncertain": "ignore",
    "task.blank": None,
    "task.patient_pattern": None,
    "task.window": None,
    "task.max_megapixels": 179,
    "task.kind": None,
    "task.positive": None,
    "task.val_fraction": 0.0,
    "task.test_fraction": 0.2,
    "task.split_seed": 0,
    "task.leave_out_bad": False,
    "task.normalize": "donor",
    "task.interpolation": None,
    "task.num_images": [2000, 200, 800],
    "task.fingerprint": None,
    "scheme.name": "pretrained",
    "scheme.batch_norm": "identity",
    "scheme.upto": None,
    "scheme.rest": "random",
    "scheme.head": "default",
    "train.optimizer": "adam",
    "train.lr": 3e-4,
    "train.momentum": 0.9,
    "train.weight_decay": 0.0,
    "train.schedule": "constant",
    "train.milestones": [0.5, 0.75],
    "train.gamma": 0.1,
    "train.patience": 5,
    "train.warmup_steps": 0,
    "train.steps": 1000,
    "train.epochs": None,
    "train.eval_epochs": None,
    "train.batch_size": 32,
    "train.eval_every": None,
    "train.eval_split": "test",
    "train.augment": "none",
    "train.ten_crop": None,
    "train.precision": "auto",
}
REPRESENTATIONS: dict[str, Any] = {
    "images": 500,
    "positions": 16,
    "measures": ["cca", "linear_cka"],
    "stage": None,
}


def digest(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that stand for what differs from the written defaults.

    Args:
        values: of a spec, as JSON holds them.
        defaults: by dotted name.

    Examples:
        >>> digest({"seed": 0, "train": {"lr": 3e-4}}, RUN) == digest({}, RUN)
        True
        >>> digest({"seed": 1}, RUN) == digest({}, RUN)
        False
    """
    differs = {key: value for key, value in flat(values) if key not in defaults or defaults[key] != value}
    content = json.dumps({"schema": VERSION, "differs": differs}, sort_keys=True)  # the order of settings means nothing
    return hashlib.blake2b(content.encode(), digest_size=6).hexdigest()


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted name.

    Examples:
        >>> list(flat({"train": {"lr": 0.1}, "seed": 2}))
        [('train.lr', 0.1), ('seed', 2)]
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
