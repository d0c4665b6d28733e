"""Every published set in miniature, from ``transfusion study --data DIR`` with no other data option to its page."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.tasks.published_sets import NAMES, SETS, build
from transfusion.cli import main

pytestmark = pytest.mark.training

SAMPLE = ("chexpert", "vindr_cxr", "ham10000_dataverse", "aptos", "nih")  # the others run with make torture
CASES = [name if name in SAMPLE else pytest.param(name, marks=pytest.mark.torture) for name in SETS]
TINY = ["--model", "cbr_tiny_small", "--schemes", "random", "--seeds", "1", "--steps", "2", "--batch-size", "8"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_study_of_the_folder_as_published(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pydicom", reason="two of the sets are DICOM; install the extra 'dicom'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSFUSION_CACHE", str(tmp_path / "cache"))
    data = build(name, tmp_path / "data")
    monkeypatch.setattr(sys, "argv", ["transfusion", "study", "--data", str(data), *TINY, "--workers", "0"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    study = tmp_path / "studies" / (data.stem if data.is_file() else NAMES.get(name, name))
    assert "<html" in (study / "report.html").read_text(encoding="utf-8")
    curves = [path.read_text(encoding="utf-8").splitlines() for path in study.glob("runs/*/curve.jsonl")]
    assert [json.loads(curve[-1])["step"] for curve in curves] == [2]
