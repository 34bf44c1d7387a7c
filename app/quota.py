"""What the container may use: processors and memory, from cgroup v2 or v1, else the machine's."""

from __future__ import annotations

import math
import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60
"""cgroup v1 says a number near 2**63 where there is no limit."""


def cpu_count(root: Path = _ROOT) -> int:
    """Processors, rounded up from the quota; 1 at least."""
    usable = len(os.sched_getaffinity(0))
    quota = _cpu_quota(root)
    return usable if quota is None else max(1, min(usable, math.ceil(quota)))


def memory_bytes(root: Path = _ROOT) -> int:
    """The limit of the container, or all the memory of the machine."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(root / name)
        if text.isdigit() and int(text) < _UNLIMITED:
            return min(machine, int(text))
    return machine


def resident_bytes() -> int:
    """What this process holds in memory now (proc(5), statm)."""
    return int(_read(Path("/proc/self/statm")).split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _cpu_quota(root: Path) -> float | None:
    text = _read(root / "cpu.max")
    if not text:
        text = f"{_read(root / 'cpu/cpu.cfs_quota_us')} {_read(root / 'cpu/cpu.cfs_period_us')}"
    quota, _, period = text.partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        return int(quota) / int(period)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
