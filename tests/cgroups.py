"""A memory limit as a container has it: a real control group, of v2 or v1."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ROOT = Path("/sys/fs/cgroup")
NOT_OF_THIS_KERNEL = "the kernel does not let"
"""How the reason of a skip begins that no installation of parts could mend."""
INTO = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


class Limited(tuple[str, ...]):
    """What to put before a command, so that it runs within the limit."""

    __slots__ = ()

    @property
    def folder(self) -> Path:
        return Path(self[3])

    def kills(self) -> int:
        """How often the system has killed a process of it for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                words = (self.folder / name).read_text().split()
                return int(words[words.index("oom_kill") + 1])
        raise AssertionError("no count of kills")


@contextmanager
def limited(limit_bytes: int) -> Iterator[Limited]:
    """Skips where no group can be made. Its processes must have ended at the end."""
    is_v2 = (ROOT / "cgroup.controllers").exists()
    folder = (ROOT if is_v2 else ROOT / "memory") / f"aml-serve-{uuid.uuid4().hex[:8]}"
    try:
        if is_v2:
            (ROOT / "cgroup.subtree_control").write_text("+memory")
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"{NOT_OF_THIS_KERNEL}: no control group can be made ({error.strerror})")
    try:
        limit = folder / ("memory.max" if is_v2 else "memory.limit_in_bytes")
        limit.write_text(str(limit_bytes))
        yield Limited(("sh", "-c", INTO, str(folder)))
    finally:
        until = time.monotonic() + 10
        while folder.exists() and time.monotonic() < until:
            with suppress(OSError):
                folder.rmdir()
            time.sleep(0.01)
