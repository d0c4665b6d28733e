"""A disk that is full exactly while the page is written: one line, nothing lost, and the same command writes it."""

import itertools
import shutil
import sys

import pytest
from faults import Failing, Limited, os_error
from small import CALLS, bits, carry_out, pictures

from transfusion.cli import main

pytestmark = [pytest.mark.training, pytest.mark.slow]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made, _ = carry_out(pictures(tmp_path_factory.mktemp("data") / "pictures"), tmp_path_factory.mktemp("study"))
    write_page(made)  # once: what it computes of filters is kept and need not be computed again
    return made


def write_page(study):
    """The exit code of the command that does."""
    sys.argv = ["transfusion", "report", str(study.store.folder)]
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def shown(study):
    """What the page consists of, by name."""
    folder = study.store.folder
    files = [folder / "report.html", *(folder / "figures").rglob("*")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def check_one(study, fault, capsys):
    """Whether the fault was met."""
    whole, trained = shown(study), bits(study)
    (study.store.folder / "report.html").unlink()
    shutil.rmtree(study.store.folder / "figures")
    capsys.readouterr()
    with fault:
        code = write_page(study)
    said = capsys.readouterr().err
    assert code in (0, 2)
    assert (said.startswith("transfusion: ") and said.count("\n") == 1) if code else not said
    assert bits(study) == trained
    assert not list(study.store.folder.rglob(".*~"))
    assert write_page(study) == 0
    assert shown(study) == whole
    return code == 2


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Failing("os.fsync", 2, os_error("ENOSPC")), marks=pytest.mark.torture),
        pytest.param(lambda: Failing("os.replace", 9, os_error("EIO")), marks=pytest.mark.torture),
        lambda: Limited(4_000),
    ],
    ids=["fsync", "replace", "files may not grow"],
)
def test_a_page_that_cannot_be_written_is_one_line_and_written_later(study, capsys, make):
    assert check_one(study, make(), capsys)


@pytest.mark.torture
@pytest.mark.parametrize("call", CALLS)
def test_no_call_may_not_fail_while_the_page_is_written(study, capsys, record_property, call):
    number = next(n for n in itertools.count(1) if not check_one(study, Failing(call, n, os_error("ENOSPC")), capsys))
    record_property("faults", number - 1)


@pytest.mark.torture
@pytest.mark.parametrize("num_bytes", [2**power for power in range(20)])
def test_no_size_of_files_may_not_do(study, capsys, num_bytes):
    check_one(study, Limited(num_bytes), capsys)
