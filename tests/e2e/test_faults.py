"""A small study in which one call fails once: one line or a recorded failure, and then the same bits."""

import itertools

import pytest
from faults import Failing, Limited, os_error
from small import CALLS, bits, carry_out, litter, pictures

from transfusion.errors import TransfusionError

pytestmark = pytest.mark.training

FAULTS = ("ENOSPC", "EIO", "EMFILE", "EACCES")
FAST = (
    ("os.fsync", 3, "ENOSPC"),
    ("os.replace", 5, "EIO"),
    ("io.open", 9, "EMFILE"),
    ("os.mkdir", 1, "EACCES"),
    ("os.open", 22, "EMFILE"),  # after the result is on disk
    ("os.unlink", 20, "ENOSPC"),
)
ALLOCATIONS = (
    *("numpy.empty", "numpy.zeros", "numpy.stack", "numpy.concatenate", "numpy.array", "numpy.memmap"),
    *("torch.stack", "torch.cat", "torch.from_numpy", "torch.save"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def expected(tmp_path_factory, data):
    study, outcome = carry_out(data, tmp_path_factory.mktemp("whole"))
    assert not outcome.failed
    return bits(study)


def check_one(data, folder, expected, fault):
    """Whether the fault was met; whatever it did, the same command ends with the same bits."""
    folder.mkdir()
    with fault:
        said = what_it_says(data, folder)
    study, outcome = carry_out(data, folder)
    assert outcome.failed == {}
    assert bits(study) == expected
    assert "Remove the folder" not in said
    assert "Traceback" not in said
    assert not litter(folder)
    return fault.left <= 0


def what_it_says(data, folder):
    """The failures of a study, or the one line that it ends in."""
    try:
        return " ".join(carry_out(data, folder)[1].failed.values())
    except (TransfusionError, OSError, MemoryError) as error:
        return str(error)


@pytest.mark.parametrize(("call", "number", "code"), FAST)
def test_a_fault_costs_no_bit(data, tmp_path, expected, call, number, code):
    assert check_one(data, tmp_path / "study", expected, Failing(call, number, os_error(code)))


def test_a_want_of_memory_costs_no_bit(data, tmp_path, expected):
    assert check_one(data, tmp_path / "study", expected, Failing("torch.stack", 2, MemoryError()))


def every(data, folder, expected, call, error):
    """One study for each call, until a study ends before its call comes; returns how many there were."""
    for number in itertools.count(1):
        if not check_one(data, folder / f"{number}", expected, Failing(call, number, error())):
            return number - 1


@pytest.mark.torture
@pytest.mark.parametrize("code", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_no_file_system_call_may_not_fail(data, tmp_path, expected, record_property, call, code):
    num_faults = every(data, tmp_path, expected, call, lambda: os_error(code))
    record_property("faults", num_faults)
    assert num_faults > 0


@pytest.mark.torture
@pytest.mark.parametrize("call", ALLOCATIONS)
def test_no_allocation_may_not_fail(data, tmp_path, expected, record_property, call):
    record_property("faults", every(data, tmp_path, expected, call, MemoryError))


@pytest.mark.parametrize(
    "num_bytes", [2_000, *(pytest.param(2**power, marks=pytest.mark.torture) for power in range(20))]
)
def test_files_that_may_not_grow_cost_no_bit(data, tmp_path, expected, num_bytes):
    check_one(data, tmp_path / "study", expected, Limited(num_bytes))
