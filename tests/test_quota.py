"""What the container may use, by the files of cgroup v2 and v1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import quota
from tests.cgroups import limited
from tests.server import ROOT

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 1 << 20


def cgroup(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def own(folder: Path, text: str = "") -> Path:
    """As /proc/self/cgroup; without text as where there is none."""
    path = folder / "own"
    if text:
        path.write_text(text)
    return path


def v1(quota_us: str, period_us: str = "100000") -> dict[str, str]:
    return {"cpu/cpu.cfs_quota_us": quota_us, "cpu/cpu.cfs_period_us": period_us}


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "100001 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "1000 100000"}, 1),
        ({"cpu.max": "6400000 100000"}, 8),
        ({"cpu.max": "100000 0"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        (v1("-1"), 8),
        (v1("300000"), 3),
        (v1("25000", "50000"), 1),
        ({"cpu.max": "100000 100000", **v1("300000")}, 1),
    ],
)
def test_the_processors_are_the_quota_rounded_up_and_no_more_than_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))

    assert quota.cpu_count(cgroup(tmp_path, files), own(tmp_path)) == count


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, MACHINE),
        ({"memory.max": "max"}, MACHINE),
        ({"memory.max": str(64 * MIB)}, 64 * MIB),
        ({"memory.max": str(1 << 59)}, MACHINE),
        ({"memory.max": "nonsense"}, MACHINE),
        ({"memory/memory.limit_in_bytes": str(32 * MIB)}, 32 * MIB),
        ({"memory/memory.limit_in_bytes": str(2**63 - 4096)}, MACHINE),
        ({"memory.max": "max", "memory/memory.limit_in_bytes": str(32 * MIB)}, 32 * MIB),
    ],
)
def test_the_memory_is_the_limit_or_that_of_the_machine(
    tmp_path: Path, files: dict[str, str], limit: int
) -> None:
    assert quota.memory_bytes(cgroup(tmp_path, files), own(tmp_path)) == limit


V2 = "0::/kubepods/pod7/box\n"
HYBRID = "9:name=systemd:/\n4:memory:/pods/box\n3:cpu,cpuacct:/pods/box\n0::/pods/box\n"


@pytest.mark.parametrize(
    ("told", "files", "limit", "count"),
    [
        (V2, {"kubepods/pod7/box/memory.max": str(64 * MIB)}, 64 * MIB, 8),
        (V2, {"kubepods/pod7/memory.max": str(32 * MIB), "kubepods/pod7/cpu.max": "2 1"},
         32 * MIB, 2),
        (V2, {"kubepods/pod7/box/memory.max": "max", "memory.max": str(16 * MIB)}, 16 * MIB, 8),
        (V2, {"kubepods/other/memory.max": str(MIB)}, MACHINE, 8),
        (V2, {"memory.max": str(8 * MIB), "cpu.max": "1 1"}, 8 * MIB, 1),
        ("0::/../../other\n", {"memory.max": str(8 * MIB)}, 8 * MIB, 8),
        (HYBRID, {"memory/pods/box/memory.limit_in_bytes": str(64 * MIB),
                  "memory/pods/memory.limit_in_bytes": str(96 * MIB),
                  "cpu/pods/box/cpu.cfs_quota_us": "300000",
                  "cpu/pods/box/cpu.cfs_period_us": "100000"}, 64 * MIB, 3),
        (HYBRID, {"memory/memory.limit_in_bytes": str(48 * MIB), **v1("100000")}, 48 * MIB, 1),
    ],
)  # fmt: skip
def test_the_limits_are_those_of_the_own_group_and_of_all_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    told: str, files: dict[str, str], limit: int, count: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    root = cgroup(tmp_path / "root", files)

    assert quota.memory_bytes(root, own(tmp_path, told)) == limit
    assert quota.cpu_count(root, own(tmp_path, told)) == count


TELLS = "from app import quota; print(quota.memory_bytes())"


def test_the_limit_of_a_real_group_is_found() -> None:
    with limited(200 * MIB) as within:
        command = [*within, sys.executable, "-c", TELLS]
        told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)

    assert int(told.stdout) == 200 * MIB


def test_this_machine_has_something_to_use() -> None:
    assert 1 <= quota.cpu_count() <= len(os.sched_getaffinity(0))
    assert MIB < quota.memory_bytes() <= MACHINE
    assert MIB < quota.anonymous_bytes() < quota.resident_bytes() < MACHINE


def test_memory_that_is_taken_shows_in_what_is_resident() -> None:
    before = quota.resident_bytes()
    taken = bytearray(os.urandom(1)) * (64 * MIB)

    assert quota.resident_bytes() - before > 32 * MIB
    assert len(taken) == 64 * MIB
