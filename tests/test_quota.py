"""What the container may use, by the files of cgroup v2 and v1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app import quota

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MIB = 1 << 20


def cgroup(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


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

    assert quota.cpu_count(cgroup(tmp_path, files)) == count


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
    assert quota.memory_bytes(cgroup(tmp_path, files)) == limit


def test_this_machine_has_something_to_use() -> None:
    assert 1 <= quota.cpu_count() <= len(os.sched_getaffinity(0))
    assert MIB < quota.memory_bytes() <= MACHINE
    assert MIB < quota.resident_bytes() < MACHINE


def test_memory_that_is_taken_shows_in_what_is_resident() -> None:
    before = quota.resident_bytes()
    taken = bytearray(os.urandom(1)) * (64 * MIB)

    assert quota.resident_bytes() - before > 32 * MIB
    assert len(taken) == 64 * MIB
