"""A process with all it started, as proc(5) shows them: memory, processor time, the end of them."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_KEPT: Final = re.compile(r"^(Rss|Private_\w+): +(\d+) kB", re.MULTILINE)
_TICKS: Final = os.sysconf("SC_CLK_TCK")
GRACE_S: Final = 10.0
ORPHANS_S: Final = 2.0
"""What the rest of a tree gets when its first process is gone."""


def tree(root: int) -> list[int]:
    """The process and its descendants that live now."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def memory_mb(root: int) -> float:
    """Resident megabytes (10**6 bytes) of a tree.

    The largest process counts whole, and each other one with what it shares with nobody: what
    forked processes share is counted once.
    """
    sizes = []
    for pid in tree(root):
        with contextlib.suppress(OSError):
            kept = _KEPT.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())
            whole = sum(int(size) for name, size in kept if name == "Rss")
            alone = sum(int(size) for name, size in kept if name != "Rss" and "Huge" not in name)
            sizes.append((whole, alone))
    if not sizes:
        return 0.0
    largest = max(sizes)
    return (largest[0] + sum(alone for _, alone in sizes) - largest[1]) * 1024 / 1e6


def processor_s(root: int) -> float:
    """Processor seconds of a tree since it started, with those that ended and were waited for."""
    ticks = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it started: SIGTERM to the first, SIGKILL to those that stay."""
    started = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    until = time.monotonic() + ORPHANS_S
    while any(map(_lives, started)) and time.monotonic() < until:
        time.sleep(0.02)
    for pid in {*started, *tree(process.pid)}:
        if _lives(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def tidied(patterns: Sequence[str]) -> Iterator[None]:
    """Removes the files and folders of these patterns that were not there before."""
    before = {path for pattern in patterns for path in glob.glob(pattern)}
    try:
        yield
    finally:
        for path in {path for pattern in patterns for path in glob.glob(pattern)} - before:
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
