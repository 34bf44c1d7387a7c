"""What a model takes of memory: measured alone, shared out of several, remembered, given back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

from app.memory import Memory, Size, counted
from tests.server import ROOT

DIGEST, OTHER = "ab" * 32, "cd" * 32


class Process:
    """How much it occupies is told by the test."""

    def __init__(self) -> None:
        self.bytes = 1000


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def memory(tmp_path: Path, process: Process) -> Memory:
    return Memory(tmp_path, lambda: process.bytes)


def weighed(memory: Memory, process: Process, files: int, grows: int, digest: str = DIGEST) -> Size:
    with memory.weigh(digest, files) as weighing:
        process.bytes += grows
    return weighing.size


@pytest.mark.parametrize(("files", "grows", "size"), [(10, 300, 300), (10, 3, 10), (10, -5, 10)])
def test_one_load_alone_takes_what_the_process_grew_by_and_at_least_its_files(
    memory: Memory, process: Process, files: int, grows: int, size: int
) -> None:
    assert weighed(memory, process, files, grows) == Size(size, "measured", is_exact=True)


def test_what_was_measured_is_known_before_the_next_load_in_any_process(
    memory: Memory, process: Process, tmp_path: Path
) -> None:
    assert memory.expected(DIGEST, 10) == Size(10, "the size of its files")
    weighed(memory, process, 10, 300)

    assert Memory(tmp_path).expected(DIGEST, 10) == Size(300, "measured at an earlier load")
    assert memory.expected(OTHER, 10).size_bytes == 10
    weighed(memory, process, 10, 200)
    assert memory.expected(DIGEST, 10).size_bytes == 200


def test_loads_that_overlap_have_parts_by_their_files_and_are_not_remembered(
    memory: Memory, process: Process
) -> None:
    with memory.weigh(DIGEST, 10) as one:
        with memory.weigh(OTHER, 30) as other:
            process.bytes += 400
        assert other.size.size_bytes == 300
    assert one.size == Size(100, "its part of several that were measured")
    assert memory.expected(DIGEST, 10).size_bytes == 10


def test_of_loads_that_overlap_one_that_was_measured_before_is_known(
    memory: Memory, process: Process
) -> None:
    weighed(memory, process, 10, 50)
    with memory.weigh(DIGEST, 10) as one, memory.weigh(OTHER, 30):
        process.bytes += 4000

    assert one.size == Size(50, "measured at an earlier load")


def test_libraries_that_came_with_a_load_count_and_are_not_remembered(
    memory: Memory, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    with memory.weigh(DIGEST, 10) as weighing:
        monkeypatch.setitem(sys.modules, "a_library", types.ModuleType("a_library"))
        process.bytes += 500

    assert weighing.size == Size(500, "measured, with libraries it brought")
    assert memory.expected(DIGEST, 10).size_bytes == 10


def test_a_load_that_fails_disturbs_no_later_measurement(memory: Memory, process: Process) -> None:
    with pytest.raises(KeyError), memory.weigh(OTHER, 30):
        raise KeyError

    assert weighed(memory, process, 10, 300).is_exact


@pytest.mark.parametrize(
    ("measured", "size"),
    [
        (Size(60, "measured", is_exact=True), Size(100, "declared")),
        (Size(300, "measured", is_exact=True), Size(300, "measured", is_exact=True)),
        (Size(300, "measured, with libraries it brought"), Size(100, "declared")),
    ],
)
def test_a_declared_size_counts_unless_more_was_measured_of_the_model_alone(
    measured: Size, size: Size, caplog: pytest.LogCaptureFixture
) -> None:
    assert counted(measured, 100, "m:1") == size
    told = [record.getMessage() for record in caplog.records]
    larger = "m:1: memory_bytes declares 100 bytes, it was measured to take 300, which count"
    assert told == ([larger] if size.is_exact else [])
    assert counted(measured, None, "m:1") == measured


def test_before_a_load_a_declared_size_counts_unless_more_was_measured_before(
    memory: Memory, process: Process
) -> None:
    assert memory.expected(DIGEST, 10, 4) == Size(4, "declared")
    weighed(memory, process, 10, 300)

    assert memory.expected(DIGEST, 10, 400) == Size(400, "declared")
    assert memory.expected(DIGEST, 10, 200) == Size(300, "measured at an earlier load")


@pytest.mark.parametrize("text", ["", "many", "-5"])
def test_what_is_remembered_and_cannot_be_read_is_not_known(
    memory: Memory, tmp_path: Path, text: str
) -> None:
    (tmp_path / "sizes").mkdir()
    (tmp_path / "sizes" / DIGEST).write_text(text)

    assert memory.expected(DIGEST, 10).size_bytes == 10


def test_where_nothing_can_be_written_it_is_measured_all_the_same(
    tmp_path: Path, process: Process
) -> None:
    (tmp_path / "sizes").touch()
    memory = Memory(tmp_path, lambda: process.bytes)
    memory.open()

    assert weighed(memory, process, 10, 300).size_bytes == 300


def test_what_was_measured_longest_ago_is_forgotten(
    memory: Memory, process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.memory._MOST_REMEMBERED", 2)
    for age, digest in enumerate(["aa" * 32, DIGEST, OTHER]):
        weighed(memory, process, 10, 300, digest)
        os.utime(tmp_path / "sizes" / digest, (age, age))
    memory.open()

    assert {path.name for path in (tmp_path / "sizes").iterdir()} == {DIGEST, OTHER}


def test_threads_that_load_at_once_are_all_measured(memory: Memory) -> None:
    def load(number: int) -> None:
        with memory.weigh(f"{number:064}", 10):
            barrier.wait()

    barrier = threading.Barrier(4, timeout=30)
    threads = [threading.Thread(target=load, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert memory._running == []


MEASURES = """
import pathlib, sys
from app import quota
from app.memory import Memory
memory = Memory(pathlib.Path(sys.argv[1]))
with memory.weigh("ab" * 32, 1) as weighing:
    kept = [b"x" * 100_000 for _ in range(500)]
    more = [b"x" * 100_000 for _ in range(500)]
    del more
print(weighing.size.size_bytes)
before = quota.anonymous_bytes()
pin = b"x" * 100_000  # so that what is freed is not the end of the heap
with memory.weigh("ab" * 32, 1):
    kept.clear()
print(before - quota.anonymous_bytes())
"""


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="not glibc")
def test_a_real_load_counts_what_it_keeps_and_what_it_freed_goes_back(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURES, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    kept, given_back = map(int, done.stdout.split())

    assert 45e6 < kept < 60e6
    assert given_back > 45e6
