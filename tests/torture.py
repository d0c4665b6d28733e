"""Runs every kill, fault, damaged file and bad input, and writes what was counted to benchmarks/results/torture.md.

python tests/torture.py [options of pytest]
"""

import datetime
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "torture.md"
FAMILIES = {  # tests -> what one of them is, unless it counts more by a property
    "tests/e2e/test_kill.py": "kills",
    "tests/e2e/test_faults.py": "faults",
    "tests/e2e/test_page_on_a_full_disk.py": "faults",
    "tests/runs/test_damage.py": "damaged files",
    "tests/e2e/test_corpus.py": "bad inputs",
}
MEANING = {
    "kills": "kill -9 before or after every file-system call that writes, of a small study; then the same bits",
    "faults": "a file-system call or a large allocation fails once, or no file may grow; then the same bits",
    "damaged files": "a kept file with a flipped bit, a cut tail, a zeroed block or nothing in it: named, made again",
    "bad inputs": "one line and exit code 2 within a minute, or a study that understood what it was given",
}


def main() -> int:
    """Run, count, write; returns what pytest returned."""
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "torture.xml"
        command = [sys.executable, "-m", "pytest", "-m", "", f"--junitxml={junit}", *FAMILIES, *sys.argv[1:]]
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode
        cases = list(ET.parse(junit).getroot().iter("testcase"))
    counts, failed = Counter(), []
    for case in cases:
        family = next(FAMILIES[path] for path in FAMILIES if Path(path).stem in case.get("classname", ""))
        counts[family] += sum(int(p.get("value")) for p in case.iter("property") if p.get("name") == family) or 1
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(case.get("name"))
    RESULT.write_text("\n".join(lines(counts, failed)) + "\n", encoding="utf-8")
    return code


def lines(counts: Counter, failed: list[str]) -> list[str]:
    """The file of results."""
    return [
        "# What the suite only samples",
        "",
        f"`make torture` on {datetime.date.today()}, torch {torch.__version__}, Python {sys.version.split()[0]}.",
        "",
        "| what | count | how it must end |",
        "|---|---|---|",
        *(f"| {family} | {counts[family]} | {meaning} |" for family, meaning in MEANING.items()),
        "",
        f"Not as it must: {', '.join(failed)}." if failed else "All ended as they must.",
    ]


if __name__ == "__main__":
    sys.exit(main())
