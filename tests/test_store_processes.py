"""The store among several processes, killed ones too, and on disks that are full or read-only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.errors import ModelUnavailable
from app.store import Store
from tests.writers import Writer, is_whole, leftovers, ref

ROOT = Path(__file__).parent.parent

CHILD = """
import sys; from pathlib import Path; from app.store import Store
from tests.writers import Writer, ref
store = Store(Path(sys.argv[1]), 1000); store.open()
registry = Writer(pause_s=float(sys.argv[2]), log=Path(sys.argv[3]))
print("ready", flush=True); sys.stdin.readline()
if sys.argv[4:]:
    lease = store.lease(ref("a"), registry); print("leased", flush=True); sys.stdin.readline()
print(store.get(ref("a"), registry), flush=True)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that fetches one model in so many seconds once it is told to."""
    running: list[subprocess.Popen[str]] = []

    def start(pause_s: float, *more: str) -> subprocess.Popen[str]:
        arguments = [str(tmp_path / "store"), str(pause_s), str(tmp_path / "log"), *more]
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_three_processes_at_once_cause_one_fetch(
    tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
) -> None:
    processes = [child(0.3) for _ in range(3)]
    for process in processes:
        begin(process)

    answers = {process.communicate(timeout=20)[0] for process in processes}

    assert answers == {f"{tmp_path}/store/models/writer/a/1\n"}
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert [process.returncode for process in processes] == [0, 0, 0]


def test_a_fetch_that_is_killed_leaves_nothing_that_counts(
    tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
) -> None:
    process = child(60)
    begin(process)
    folder = tmp_path / "store"
    deadline = time.monotonic() + 10
    while not list(folder.glob("partial/*/model.onnx")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    store = Store(folder, 1000)

    store.open()
    assert len(leftovers(folder)) == 1, "what another process is fetching is left alone"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.size_bytes() == 0
    store.open()
    assert leftovers(folder) == []
    assert is_whole(store.get(ref("a"), Writer()))


def test_a_lease_holds_among_processes_and_ends_with_its_own(
    tmp_path: Path, child: Callable[..., subprocess.Popen[str]]
) -> None:
    process = child(0, "lease")
    begin(process)
    assert process.stdout is not None
    process.stdout.readline()
    store, registry = Store(tmp_path / "store", 10), Writer()

    with pytest.raises(ModelUnavailable, match="being loaded have 10 of the 10"):
        store.get(ref("b"), registry)
    process.kill()
    process.wait()

    assert is_whole(store.get(ref("b"), registry))


FULL = """
import errno, resource, sys; from pathlib import Path
from app.errors import ModelUnavailable; from app.store import Store
from tests.writers import Writer, leftovers, ref
store = Store(Path(sys.argv[1]), 1 << 40); store.open()
if sys.argv[2:]: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try: store.get(ref("a"), Writer(8 << 20))
except ModelUnavailable as error: print(error)
print(leftovers(Path(sys.argv[1])), store.size_bytes())
print(store.get(ref("b"), Writer(1000)).name)
"""


def run_full(folder: Path, *arguments: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", FULL, folder, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return run.stdout.splitlines()


def test_a_full_disk_is_told_and_leaves_room_for_smaller_models(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    try:
        told = run_full(tmp_path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)

    assert told[0].startswith("the disk of the model cache is full (")
    assert told[1:] == ["[] 0", "1"]


def test_a_file_too_large_for_the_system_is_told(tmp_path: Path) -> None:
    told = run_full(tmp_path, "limited")

    assert told == ["the model cache (SERVE_CACHE_DIR) failed: File too large", "[] 0", "1"]


def test_a_cache_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="Not a directory"):
        Store(tmp_path / "file/cache", 1000).open()


# root may write everything, so it becomes nobody, and goes by a relative path
NOBODY = """
import os, sys; from pathlib import Path; from app.store import Store
from app.errors import ModelUnavailable; from tests.writers import Writer, ref
os.chdir(sys.argv[1])
if os.getuid() == 0: os.setuid(65534)
store = Store(Path(), 1000)
for call in (store.open, lambda: store.get(ref('a'), Writer())):
    try: call()
    except (OSError, ModelUnavailable) as error: print(error)
"""


def test_a_cache_folder_that_cannot_be_written_is_told_at_the_start_and_in_service(
    tmp_path: Path,
) -> None:
    Store(tmp_path, 1000).open()
    for path in (tmp_path, *tmp_path.iterdir()):
        path.chmod(0o555)
    run = subprocess.run(
        [sys.executable, "-c", NOBODY, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert run.stdout.splitlines() == [
        "[Errno 13] Permission denied: 'locks/room'",
        "the model cache (SERVE_CACHE_DIR) failed: Permission denied",
    ]
