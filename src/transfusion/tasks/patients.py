"""Who a picture shows: from a column, the user's pattern, folders, or the naming of well-known data sets.

What fits some pictures and not others, or makes one group of all, is never used silently: it is an error that asks.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from transfusion.errors import TaskError
from transfusion.spec import TaskSpec
from transfusion.tasks.layouts.disk import is_dicom
from transfusion.tasks.listing import Entry, Listing, Problem
from transfusion.tasks.names import listed, natural_order, plain
from transfusion.tasks.patterns import compiled, search
from transfusion.tasks.pictures import Facts

KNOWN_PATTERNS = (
    r"(.+)_(?:left|right)",  # EyePACS
    r"(person\d+_(?:bacteria|virus))_\d+",  # Kermany's chest X-rays; either series numbers its own patients
    r"((?:NORMAL2-)?IM-\d+)-\d+(?:-\d+)?",  # the same without pneumonia, again two series
    r"(?:NORMAL|BACTERIA|VIRUS|CNV|DME|DRUSEN)-(\d+)-\d+",  # Kermany's third edition, X-rays and OCT
    r"(\d{8})_\d{3}",  # ChestX-ray14
)
PERSON_IN_NAME = (
    r"(?:.*[^A-Za-z0-9])?((?:patient|pat|subject|subj|sub|participant|person|case|donor|lesion|animal|mouse)[-_ ]?\d+|"
    r"[Pp][-_]?\d+)(?:[^0-9].*)?",
)
# Kermany's series: those of bacteria, of viruses and the two of healthy children may each number their own patients
NUMBERED = (
    re.compile(r"(?P<kind>person)(?P<number>\d+)_(?P<series>bacteria|virus)"),
    re.compile(r"(?P<series>NORMAL2-)?(?P<kind>IM)-(?P<number>\d+)"),
)
BY_NAMES = "Patients are taken from file names"
SERIES = "Each series of names is taken to number its own patients"
SETTING = "task.patient_pattern"
PERSON = re.compile(
    r"(patient|pat|pt|p|subject|subj|sub|s|participant|person|case|donor|lesion|animal|mouse|id)[-_ ]?\d+[A-Za-z]?",
    re.IGNORECASE,
)
DATE = re.compile(r"(19|20)\d\d([-_.]?\d\d){0,2}")
BATCH = re.compile(
    r"(.*[ _-])?(images?|imgs?|pictures?|photos?|data|raw|originals?|processed|resized|png|jpe?g|tiff?|dicom|files?|"
    r"slices?|all|augmented|aug|cropped|enhanced|frames?)|(.*[ _-])?(part|batch|images?|folder|set)[ _-]?\d+|\d+x",
    re.IGNORECASE,
)
# what comes behind an identifier: a counter, a side, a place (x1, crop2)
COUNTER = re.compile(r"(.+?)[-_ .]+(\(?\d+\)?|[A-Za-z]{1,9}\d*)")
PLACE = re.compile(r"[A-Za-z]{1,9}\d+")
PLACES = re.compile(r"(?:[-_ .]+[A-Za-z]+[0-9]+)+")
ENOUGH_GROUPS = 5
ENOUGH_NAMES = 10  # of groups whose names have no digit
HOW = (
    "Give it with task.patient_pattern, a regular expression on the path whose group is the patient "
    "(--set task.patient_pattern='{pattern}'), or say that there is none with --set task.patient_pattern=none."
)


class Groups(NamedTuple):
    """Per picture its patient, or None; and how they were found."""

    patients: list[str | None]
    source: str


def assign(listing: Listing, spec: TaskSpec) -> Listing:
    """Fill in patients, for all pictures or none.

    Patients that a column or folders above the classes gave stand. Otherwise ``task.patient_pattern`` is searched in
    every path below the data's folder (without its suffix); without a pattern the folders below the classes count,
    then the naming of well-known data sets.

    Returns:
        The listing, each entry with its patient or all without, with a problem for each that lacks one.

    Raises:
        SpecError: if the pattern is not a regular expression.
        TaskError: if names or folders look like patients and cannot be relied on.
    """
    entries = listing.entries
    if any(entry.patient for entry in entries):
        groups = _given(listing)
    elif spec.patient_pattern == "none" or any(isinstance(entry.source, int) for entry in entries):
        return listing
    elif spec.patient_pattern:
        pattern = compiled(SETTING, spec.patient_pattern)
        groups = Groups([_search(pattern, entry.name) for entry in entries], "task.patient_pattern")
    elif all(isinstance(entry.source, Path) and is_dicom(entry.source) for entry in entries):
        return listing  # the files name their patients themselves
    else:
        groups = _by_folders(entries) or _by_names(entries, listing, spec) or Groups([None] * len(entries), "")
    if not any(groups.patients):
        problems = [Problem("no patient", entry.name) for entry in entries] if spec.patient_pattern else []
        unknown = (f"Patients cannot be taken from {groups.source}; nothing is cut, and they count as unknown.",)
        return _with(listing, () if problems else entries, problems, unknown if groups.source and not problems else ())
    _refuse_few(groups, entries)
    pairs = list(zip(entries, groups.patients, strict=True))
    problems = [Problem("no patient", e.name, f"by {groups.source}") for e, patient in pairs if not patient]
    kept = [entry._replace(patient=patient) for entry, patient in pairs if patient]
    note = f"Patients are taken from {groups.source}: {len({e.patient for e in kept})} of them."
    told = not spec.patient_pattern and listing.layout != "nih"
    return _with(listing, kept, problems, (note, *_of_series(kept)) if told else ())


def from_headers(listing: Listing, facts: Sequence[Facts], spec: TaskSpec) -> Listing:
    """Patients that DICOM files name themselves, as a hash, where nothing else names them.

    Raises:
        TaskError: if some files name a patient and others do not.
    """
    if any(entry.patient for entry in listing.entries) or spec.patient_pattern == "none":
        return listing
    named = {fact.patient for fact in facts if not fact.error}
    if named <= {""}:
        return listing
    if len(named) == 1 and len(facts) > 1:  # anonymising tools write one id into all files
        return replace(listing, notes=(*listing.notes, "All DICOM files have one PatientID, which separates nobody."))
    bare = [entry.name for entry, fact in zip(listing.entries, facts, strict=True) if not (fact.patient or fact.error)]
    if bare:
        raise TaskError(
            f"{len(bare)} of {len(facts)} files have no PatientID ({bare[0]}, ...). "
            + HOW.format(pattern="([^/]+)/[^/]+$")
        )
    pairs = zip(listing.entries, facts, strict=True)
    entries = tuple(entry._replace(patient=fact.patient or None) for entry, fact in pairs)
    note = f"Patients are taken from the PatientID of DICOM files, as a hash: {len(named)} of them."
    return replace(listing, entries=entries, notes=(*listing.notes, note))


def _with(
    listing: Listing, entries: Sequence[Entry], problems: Sequence[Problem], notes: tuple[str, ...] = ()
) -> Listing:
    return replace(
        listing,
        entries=tuple(entries),
        problems=(*listing.problems, *problems),
        notes=(*listing.notes, *notes),
    )


def _given(listing: Listing) -> Groups:
    """A picture without a lesion or study is alone; one without a patient is a problem."""
    column = listing.group or "folders"
    alone = any(word in column.lower() for word in ("lesion", "study", "exam", "series", "accession"))
    own = [entry.patient or (f"alone: {entry.name}" if alone else None) for entry in listing.entries]
    return Groups(own, f"the column {column}" if listing.group else "the outer folders")


def _search(pattern: re.Pattern[str], name: str) -> str | None:
    match = search(SETTING, pattern, _bare(name))
    if not match:
        return None
    return next((group for group in match.groups() if group), match.group())


def _bare(name: str) -> str:
    """A path without its suffix."""
    folder, slash, last = name.rpartition("/")
    stem = last.rpartition(".")[0]
    return f"{folder}{slash}{stem or last}"


def _class_of(entry: Entry) -> str:
    """The class of a picture; pictures of a multilabel task are of one, for their combinations are no classes."""
    return entry.label if isinstance(entry.label, str) else ""


def _refuse_few(groups: Groups, entries: Sequence[Entry]) -> None:
    """One patient for everything, or one for each class, is a misread name."""
    by_label: dict[object, set[str | None]] = defaultdict(set)
    for entry, patient in zip(entries, groups.patients, strict=True):
        by_label[_class_of(entry)].add(patient)
    # the pattern caught the class's name
    one_each = len(by_label) > 1 and all(len(own) == 1 for own in by_label.values())
    if len(entries) > len(by_label) and (len(set(groups.patients)) == 1 or one_each):
        found = sorted({str(patient) for patient in groups.patients})
        raise TaskError(
            f"By {groups.source} there {'is one patient' if len(found) == 1 else 'is one patient for each class'} "
            f"({listed(found)}), which cannot be. " + HOW.format(pattern="([^/]+)/[^/]+$")
        )


def _by_folders(entries: Sequence[Entry]) -> Groups | None:
    """The outermost folders below the classes that are more than batches.

    Raises:
        TaskError: if they may be patients, and may not.
    """
    depth = max((len(entry.folders) for entry in entries), default=0)
    for level in range(depth):
        names = [entry.folders[level] if len(entry.folders) > level else None for entry in entries]
        telling = {name for name in names if name and not BATCH.fullmatch(name)}
        if len(telling) < 2:
            continue
        example = next(entry for entry in entries if len(entry.folders) > level and entry.folders[level] in telling)
        place = "/".join(example.name.split("/")[: -len(example.folders) + level or None][:-1])
        if None not in names and _are_patients(telling, set(map(_class_of, entries))):
            return Groups(names, f"folders such as {example.folders[level]}/")
        raise TaskError(
            f"Are folders such as {listed(f'{name}/' for name in sorted(telling, key=natural_order)[:3])} "
            f"({len(telling)} of them{', below ' + place if place else ''}) one patient each? "
            + HOW.format(pattern=f"^{'[^/]+/' * example.name.split('/').index(example.folders[level])}([^/]+)/")
        )
    return None


def _are_patients(names: set[str], labels: set[object]) -> bool:
    if len(names) <= len(labels) or all(map(DATE.fullmatch, names)):
        return False
    if all(map(PERSON.fullmatch, names)):
        return True
    return len(names) >= ENOUGH_GROUPS and all(re.search(r"\d", name) for name in names)


def _by_names(entries: Sequence[Entry], listing: Listing, spec: TaskSpec) -> Groups | None:
    """The patients in names of well-known forms, where most names have one of them."""
    stems = [_bare(entry.name.rpartition("/")[2]) for entry in entries]
    for forms in (KNOWN_PATTERNS, PERSON_IN_NAME):
        known = re.compile("|".join(f"^{form}$" for form in forms))
        found = [_search(known, stem) for stem in stems]
        fitting = [patient for patient in found if patient]
        example = next((stem for stem, patient in zip(stems, found, strict=True) if patient), "")
        if (
            fitting
            and len(fitting) < len(entries)
            and any(e.split == "test" for e in entries)
            and not spec.val_fraction
        ):
            return Groups([None] * len(entries), f"names such as {example}: only {len(fitting)} have this form")
        if fitting and 2 * len(fitting) >= len(entries):
            return Groups(found, f"file names such as {_examples(stems, forms)}")
        if len(set(fitting)) < len(fitting):  # a patient with several pictures: a cut would go through people
            raise TaskError(
                f"{len(fitting)} of {len(entries)} names hold a patient, as {example} does, and the others do not. "
                + HOW.format(pattern="([^/]+)_[^/]*$")
            )
    _refuse_counted(stems, entries, listing)
    return None


def _examples(stems: Sequence[str], forms: Sequence[str]) -> str:
    """The first name of each form, with how many there are of it where there are several forms."""
    by_form: dict[str, list[str]] = defaultdict(list)
    for stem in stems:
        if form := next((form for form in forms if re.search(f"^{form}$", stem)), None):
            by_form[form].append(stem)
    if len(by_form) == 1:
        return next(iter(by_form.values()))[0]
    return listed(f"{own[0]} ({len(own):,})" for own in by_form.values())


def _of_series(entries: Sequence[Entry]) -> Iterator[str]:
    """That patients of one number in two series are taken for two people, where names have such series."""
    seen: dict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        for found in filter(None, (each.fullmatch(entry.patient or "") for each in NUMBERED)):
            seen[found["kind"], found["number"]].setdefault(found["series"] or "", entry)
    several = [list(own.values()) for own in seen.values() if len(own) > 1]
    if not several:
        return
    first, second, *_ = (_bare(entry.name.rpartition("/")[2]) for entry in several[0])
    text = f"{SERIES}: {first} and {second} are taken for two people, and so are {len(several):,} numbers in all."
    apart = sum(len({entry.split for entry in own}) > 1 for own in several)
    if apart:
        text += f" {apart:,} of them are in more than one split."
    yield f"{text} Where that is wrong, give task.patient_pattern."


def _refuse_counted(stems: Sequence[str], entries: Sequence[Entry], listing: Listing) -> None:
    """Ask about names that share an identifier (``8863_1``, ``8863_2``) before cutting through them."""
    if any(entry.split == "test" for entry in entries):
        return
    classes = {plain(_class_of(entry)) for entry in entries}
    found = [_uncounted(stem, classes) for stem in stems]
    counts = Counter(found)
    named = any(re.search(r"\d", str(name)) for name in counts)
    few = max(len(classes), (ENOUGH_GROUPS if named else ENOUGH_NAMES) - 1)
    if None in counts or not few < len(counts) <= 0.7 * len(stems):
        return
    name, count = counts.most_common(1)[0]
    behind = stems[found.index(name)].removeprefix(str(name))
    pattern = "([^/]+)[-_ .][^-_ ./]+$" if not PLACES.fullmatch(behind) else f"([^/]+?){PLACES.pattern}$"
    raise TaskError(
        f"{listing.source} has {count} pictures whose names begin with {name}, and {len(counts)} such groups in all: "
        "do they belong together? " + HOW.format(pattern=pattern)
    )


def _uncounted(stem: str, classes: set[str]) -> str | None:
    """A name without the counter or places behind it: ``8863_idx5_x1_y51`` is 8863. A class there tells nothing."""
    match = COUNTER.fullmatch(stem)
    if not match or (plain(match[2]) in classes and not match[2].isdecimal()):
        return None
    while (further := COUNTER.fullmatch(match[1])) and PLACE.fullmatch(match[2]) and PLACE.fullmatch(further[2]):
        match = further
    return match[1]
