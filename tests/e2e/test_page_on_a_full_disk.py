"""A disk that is full while pages, tables or weights are written: one line, nothing lost; later all are written."""

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


def run(*words):
    """The exit code of a command."""
    sys.argv = ["transfusion", *map(str, words)]
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def write_page(study):
    """The exit code of the command that does."""
    return run("report", study.store.folder)


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


@pytest.fixture(scope="module")
def commands(study, tmp_path_factory):
    """What writes elsewhere than into a study: name -> words, but for where to."""
    mine = study.store.grid()[0].folder
    other, _ = carry_out(
        pictures(tmp_path_factory.mktemp("more") / "pictures"), tmp_path_factory.mktemp("other"), "resnet18"
    )
    exports = {to: ("export", other.store.grid()[0].folder, "--to", to) for to in ("torchvision", "timm", "hf", "onnx")}
    return {
        **exports,
        "init": ("init", "random", "--model", "cbr_tiny_small", "--image-size", "32"),
        "compare": ("compare", mine, mine / "before.safetensors", "--images", "8", "--measures", "linear_cka"),
        "report": ("report", study.store.folder),
        "reports": ("report", study.store.folder, other.store.folder),
    }


PLACES = {"init": "w.pth", "report": "report.html", "reports": "report.html"}
FAULTS = {
    "no byte": lambda: Limited(0),
    "3 kB": lambda: Limited(3_000),
    "fsync": lambda: Failing("os.fsync", 1, os_error("ENOSPC")),
    "replace": lambda: Failing("os.replace", 1, os_error("EIO")),
    "last replace": lambda: Failing("os.replace", 2, os_error("EIO")),
    "mkdir": lambda: Failing("os.mkdir", 1, os_error("EACCES")),
}
# one file is written, or the call is not among those that the command depends on
UNREACHED = {
    *(("init", "last replace"), ("report", "last replace"), ("reports", "last replace")),
    *(("report", "mkdir"), ("compare", "mkdir")),
}
FAST = {("init", "3 kB"), ("torchvision", "no byte"), ("timm", "last replace")}


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param(name, fault, marks=() if (name, fault) in FAST else pytest.mark.torture)
        for name in ("torchvision", "timm", "hf", "onnx", "init", "compare", "report", "reports")
        for fault in FAULTS
        if (name, fault) not in UNREACHED
    ],
)
def test_what_a_command_cannot_write_is_one_line_and_written_later(commands, tmp_path, capsys, name, fault):
    words = (*commands[name], "--out", tmp_path / "out" / PLACES.get(name, ""))
    assert run(*words) == 0
    whole = contents(tmp_path / "out")
    capsys.readouterr()
    for is_first in (False, True):
        if is_first:
            shutil.rmtree(tmp_path / "out")
        with FAULTS[fault]():
            code = run(*words)
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("transfusion: ")]
        assert (code, len(said)) in {(2, 1), (0, 0)}  # nothing to make where a folder is there
        assert code == 2 or (fault == "mkdir" and not is_first)
        assert contents(tmp_path / "out").items() <= whole.items()  # each file whole or not there
        assert run(*words) == 0
        assert contents(tmp_path / "out") == whole
        capsys.readouterr()


def contents(folder):
    """Every file below a folder, litter too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
