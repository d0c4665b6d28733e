import os

import pytest

from transfusion import cores


def system(root, groups, files):
    for name, text in {"proc/self/cgroup": groups, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "quotas"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, [1.5]),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "max 100000\n"}, []),
        (
            "0::/a/b\n",
            {"sys/fs/cgroup/a/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"},
            [2.0],
        ),
        (
            "3:cpu,cpuacct:/docker/x\n2:memory:/y\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            [3.0],
        ),
        (
            "3:cpu:/\n",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            [],
        ),
        ("0::/\n", {"sys/fs/cgroup/cpu.max": "garbage"}, []),
    ],
)
def test_the_quotas_of_control_groups_are_read(tmp_path, groups, files, quotas):
    assert list(dict.fromkeys(cores.quotas(system(tmp_path, groups, files)))) == quotas


def test_where_there_are_no_control_groups_there_is_no_quota(tmp_path):
    assert list(cores.quotas(tmp_path)) == []


def test_the_smallest_bound_counts_and_one_core_is_left(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for found, expected in (([], 8), ([3.5], 3), ([16.0, 2.0], 2), ([0.4], 1)):
        monkeypatch.setattr(cores, "quotas", lambda found=found: iter(found))
        assert cores.available() == expected


@pytest.mark.parametrize(("text", "limit"), [("4", 4), ("4,2", 4), (" 2 ", 2), ("", None), ("0", None), ("many", None)])
def test_the_users_limit_of_threads_is_read(monkeypatch, text, limit):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert cores.thread_limit() == limit
