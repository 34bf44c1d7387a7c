"""What the container may use: processors and memory, from cgroup v2 or v1, else the machine's."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60
"""cgroup v1 says a number near 2**63 where there is no limit."""


def cpu_count(root: Path = _ROOT, own: Path = _OWN) -> int:
    """Processors, rounded up from the quota; 1 at least.

    Args:
        own: which groups this process is in (cgroups(7), /proc/[pid]/cgroup).
    """
    usable = len(os.sched_getaffinity(0))
    quotas = [_cpu_quota(folder) for folder in _folders(root, own, "cpu")]
    return max(1, min([usable, *(math.ceil(quota) for quota in quotas if quota is not None)]))


def memory_bytes(root: Path = _ROOT, own: Path = _OWN) -> int:
    """The limit of the container, or all the memory of the machine."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _folders(root, own, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name)
            if text.isdigit() and int(text) < _UNLIMITED:
                limits.append(int(text))
    return min(limits)


def resident_bytes() -> int:
    """What this process holds in memory now (proc(5), statm)."""
    return _pages(1) * os.sysconf("SC_PAGE_SIZE")


def anonymous_bytes() -> int:
    """The same without pages of files, as libraries, which the system may drop and read again."""
    return (_pages(1) - _pages(2)) * os.sysconf("SC_PAGE_SIZE")


def _pages(field: int) -> int:
    return int(_read(Path("/proc/self/statm")).split()[field])


def _folders(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Those of v2 and v1 that tell limits of this process: its group and all above.

    In a container `root` most often is its own group already, whatever path is told of it.
    """
    for line in _read(own).splitlines() or ["0::/", f"1:{controller}:/"]:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root
        yield top
        folder = top / path.strip("/")
        while folder != top and ".." not in folder.parts:
            yield folder
            folder = folder.parent


def _cpu_quota(folder: Path) -> float | None:
    text = _read(folder / "cpu.max")
    if not text:
        text = f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
    quota, _, period = text.partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        return int(quota) / int(period)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
