"""Several hundred bad inputs: one line and exit code 2, within seconds, or a study that understood them."""

import signal
import sys
import zlib

import pytest

from tests.e2e.corpus import CASES, is_understood
from transfusion.cli import main

pytestmark = pytest.mark.slow

PATIENCE_S = 60


def pytest_generate_tests(metafunc):
    names = list(CASES)
    fast = [zlib.crc32(name.encode()) % 6 == 0 for name in names]  # a sixth, the same every time
    marked = [
        pytest.param(name, marks=() if quick else pytest.mark.torture) for name, quick in zip(names, fast, strict=True)
    ]
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", marked)


def test_there_are_hundreds_of_each_kind():
    assert len(CASES) >= 300


def test_a_bad_input_is_one_line_and_an_odd_one_a_study(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "argv", ["transfusion", *CASES[name](tmp_path / "here")])
    before = set(tmp_path.rglob("*"))

    def too_long(*_):
        raise TimeoutError(f"no answer within {PATIENCE_S} s")

    former = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(PATIENCE_S)
    try:
        with pytest.raises(SystemExit) as stopped:
            main()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("transfusion: ")]
    assert stopped.value.code == (0 if is_understood(name) else 2), said.err
    assert "Traceback" not in said.err
    if not is_understood(name):
        assert len(lines) == 1, said.err
        assert len(lines[0]) > 30
    assert before <= set(tmp_path.rglob("*"))
    assert not (tmp_path / "here" / "evil").exists()
