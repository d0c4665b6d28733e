"""The section on how a study was done: rules, data, settings, machines, durations, failures."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

from transfusion.metrics import Metric
from transfusion.report.material import Material
from transfusion.report.opening import name_of, without_paths
from transfusion.report.parts import Cell, Listing, Part, Section, Source, Table
from transfusion.runs.store import RunFiles
from transfusion.spec import StudySpec

STATES = {"done": "finished", "started": "unfinished", "failed": "failed", "new": "not started"}
SHARED = {"patients_in_both": "Patients", "identical_files": "Identical files"}
MOST_LISTED = 12  # longer lists are folded


def settings_of(spec: StudySpec) -> dict[str, str]:
    """Every setting that has a value, by its dotted name, in words."""
    values = _flat(spec.model_dump(mode="json"))
    return {key: _plain(value) for key, value in values if value not in (None, [None])}


def section(material: Material) -> Section:
    """Everything that is needed to judge the study, or to repeat it."""
    parts = [
        Listing(tuple(material.verdict.rules), "Rules behind the verdict"),
        *_data(material.card),
        *_settings(material.spec),
        *_machines(material.runs),
        *_durations(material),
        *_failures(material.runs),
    ]
    return Section("how", "How it was done", tuple(parts), is_folded=True)


def _data(card: dict[str, Any]) -> Iterator[Part]:
    if not card.get("images"):
        return
    yield _splits(card)
    if card.get("classes"):
        yield _classes(card["classes"], card["images"])
    yield Listing(tuple(_facts(card)), "About the images")
    for key, title in (("notes", "About the donor"), ("left_out", "Files left out")):
        yield from _list_of([without_paths(text) for text in card.get(key, [])], title)
    # paths name users and hospitals, and pages are mailed
    shown = without_paths(json.dumps(card, indent=2, ensure_ascii=False))
    yield Source("Data card; data.json has it with full paths", shown)


def _splits(card: dict[str, Any]) -> Table:
    total, patients = sum(card["images"].values()), card.get("patients", {})
    rows: tuple[tuple[Cell | str, ...], ...] = tuple(
        (split, Cell.number(count, "d"), _share(count, total), _count(patients.get(split, "unknown")))
        for split, count in card["images"].items()
    )
    return Table("splits", f"Images: n = {total} in all", ("split", "images", "share", "patients"), rows)


def _classes(classes: dict[str, dict[str, int]], images: dict[str, int]) -> Table:
    names = list(dict.fromkeys(name for counts in classes.values() for name in counts))
    columns = [heading for split in classes for heading in (split, f"{split}, share")]
    rows: tuple[tuple[Cell | str, ...], ...] = tuple(
        (name, *(cell for split in classes for cell in _of_class(classes[split].get(name, 0), images[split])))
        for name in names
    )
    return Table("classes", "Images of every class, and their share of the split", ("class", *columns), rows)


def _of_class(count: int, total: int) -> tuple[Cell, Cell]:
    return Cell.number(count, "d"), _share(count, total)


def _share(count: int, total: int) -> Cell:
    return Cell.number(count / total if total else float("nan"), ".1%")


def _count(value: Any) -> Cell:
    return Cell.number(value, "d") if isinstance(value, int) else Cell(str(value), float("nan"))


def _facts(card: dict[str, Any]) -> Iterator[str]:
    yield f"Source: {without_paths(str(card.get('source', 'unknown')))}, read as {card.get('layout', 'unknown')}."
    given = card.get("splits_given", [])
    yield f"Splits given by the data: {', '.join(given) or 'none'}; others were drawn by patient where known."
    sizes = card.get("sizes")
    if sizes:
        shown = ", ".join(f"{name.replace('_', ' ')} {' x '.join(map(str, size))}" for name, size in sizes.items())
        modes = ", ".join(f"{count} {mode}" for mode, count in card.get("modes", {}).items())
        yield f"Stored as {modes}, {card.get('bit_depth', 'unknown')} bits; {shown} px."
    if seen := card.get("normalization"):
        mean, std = (", ".join(f"{value:.4g}" for value in seen[key]) for key in ("mean", "std"))
        yield (
            f"Every network sees them normalised by mean {mean} and standard deviation {std} (white is 1), scaled by "
            f"{seen['interpolation']} interpolation; from {seen['from']}."
        )
    for what, title in SHARED.items():
        found = ", ".join(f"{count} in {pair}" for pair, count in card.get(what, {}).items())
        yield f"{title} in more than one split: {found or 'none found'}."
    others = card.get("other_files", {})
    if others:
        yield f"Other files in the folder: {', '.join(f'{count} {kind}' for kind, count in others.items())}."


def _list_of(items: list[str], title: str) -> Iterator[Part]:
    if 0 < len(items) <= MOST_LISTED:
        yield Listing(tuple(items), f"{title} (n = {len(items)})")
    elif items:
        yield Source(f"{title} (n = {len(items)})", "\n".join(items))


def _settings(spec: StudySpec) -> Iterator[Part]:
    values, defaults = settings_of(spec), settings_of(StudySpec())
    chosen = tuple((key, without_paths(value)) for key, value in values.items() if defaults.get(key) != value)
    usual = tuple((key, value) for key, value in values.items() if defaults.get(key) == value)
    yield Table("settings", "Settings of this study", ("setting", "value"), chosen)
    yield Table("defaults", f"Settings left at their defaults (n = {len(usual)})", ("setting", "value"), usual, True)
    yield Source("Full spec of the study; study.json has it with full paths", without_paths(spec.to_json()))


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join("all" if item is None else _plain(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | dict) else str(value)


def _machines(runs: list[RunFiles]) -> Iterator[Part]:
    # one column per kind of machine: a hundred runs on one are one column
    counts = Counter(json.dumps(machine) for files in runs if (machine := files.machine()))
    records = [dict(_flat(json.loads(text))) for text in counts]
    if not records:
        return
    keys = dict.fromkeys(key for record in records for key in record)
    rows = tuple(
        (key.replace("versions.", "version of "), *(_plain(record.get(key, "-")) for record in records)) for key in keys
    )
    columns = [f"machine {place} (n = {n} runs)" for place, n in enumerate(counts.values(), start=1)]
    yield Table("machines", "Software and machine", ("property", *columns), rows)


def _durations(material: Material) -> Iterator[Part]:
    frame = material.frame
    if "time_s" not in frame or frame.empty:
        return
    spent = frame.groupby(["name", "run"], sort=False)["time_s"].max().dropna()
    groups = [(str(name), [float(value) for value in times]) for name, times in spent.groupby("name", sort=False)]
    rows = [_duration(name, times) for name, times in groups]
    if len(rows) > 1:
        rows.append(_duration("all", [time for _, times in groups for time in times]))
    caption = "Time from the start of a run to its last evaluation; several runs may have shared the machine"
    yield Table("durations", caption, ("start", "n runs", "median", "longest", "total"), tuple(rows))
    yield _run_table(material)


def _duration(name: str, times: list[float]) -> tuple[Cell | str, ...]:
    return (name, Cell.number(len(times), "d"), *(_time(value) for value in (median(times), max(times), sum(times))))


def _time(time_s: float) -> Cell:
    if math.isnan(time_s):
        return Cell("-", time_s)
    hours, minutes, seconds = int(time_s // 3600), int(time_s % 3600 // 60), int(time_s % 60)
    if time_s < 60:
        return Cell(f"{time_s:.1f} s", time_s)
    return Cell(f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s", time_s)


def _run_table(material: Material) -> Table:
    caption, judge = f"Every run (n = {len(material.runs)})", material.judge
    columns = ("run", "start", "seed", "state", "last step", f"last {judge.title}", "time")
    names = material.frame.groupby("run")["name"].first()
    rows = (_run_row(files, judge, str(names.get(files.id, files.spec().scheme.name))) for files in material.runs)
    return Table("every-run", caption, columns, tuple(rows), is_folded=True)


def _run_row(files: RunFiles, judge: Metric, name: str) -> tuple[Cell | str, ...]:
    curve, seed = files.curve(), files.spec().seed
    last = curve[-1] if curve else {}
    step, value, time_s = (
        float("nan") if last.get(key) is None else last[key] for key in ("step", judge.column, "time_s")
    )
    numbers = (Cell.number(step, ".0f"), Cell.number(value), _time(time_s))
    return (files.id, name, Cell.number(seed, "d"), STATES[files.state], *numbers)


def _failures(runs: list[RunFiles]) -> Iterator[Part]:
    failed = [files for files in runs if files.state == "failed"]
    if failed:
        lines = (f"{name_of(files)}: {without_paths(files.failure()['error'])}" for files in failed)
        yield Listing(tuple(lines), f"Failed runs (n = {len(failed)})")
    for files in failed:
        yield Source(f"Traceback of {name_of(files)}", without_paths("\n".join(files.failure().get("traceback", []))))
