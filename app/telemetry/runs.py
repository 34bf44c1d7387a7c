"""The folder of one run of several workers, for what they tell each other.

runs/ID/    gone when its run has ended; its file `lock` is locked until then
runs/lock   of whoever makes or removes one
"""

from __future__ import annotations

import fcntl
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


@contextmanager
def run_folder(cache: Path) -> Iterator[Path]:
    """A new one in the cache folder; those of runs that were killed are removed before.

    Where none can be made it is missing: whoever writes there tells so.
    """
    runs = cache / "runs"
    folder = runs / uuid.uuid4().hex
    with ExitStack() as held:
        with suppress(OSError):
            runs.mkdir(parents=True, exist_ok=True)
            with (runs / "lock").open("w") as among_runs:
                fcntl.flock(among_runs, fcntl.LOCK_EX)
                _remove_leftovers(runs)
                folder.mkdir()
                lock = held.enter_context((folder / "lock").open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def _remove_leftovers(runs: Path) -> None:
    for leftover in runs.iterdir():
        with suppress(OSError), (leftover / "lock").open("w") as lock:  # locked: its run goes on
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(leftover, ignore_errors=True)
