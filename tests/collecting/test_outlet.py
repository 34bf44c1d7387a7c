"""Nobody waits for a place, whatever is wrong with it, and all that is not written is counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from app.collecting.folder import Folder
from app.collecting.outlet import LARGEST_BYTES, MOST_BYTES, MOST_KEPT, Outlet
from app.errors import RegistryUnavailable
from tests.collecting.made import Place, line, record


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def outlet(place: Place) -> Iterator[Outlet]:
    outlet = Outlet("file:///there", lambda: place)
    yield outlet
    outlet.close()
    place.gate.set()
    assert outlet.has_ended(30)


def counts(outlet: Outlet) -> dict[str, int]:
    found = outlet.counts()
    assert all((name, version) == ("churn", "2") for name, version, _ in found)
    return {outcome: count for (_, _, outcome), count in found.items()}


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_all_is_written_by_hour_and_in_order(outlet: Outlet, place: Place) -> None:
    made = [record(request_id=b"%d" % i, time_s=1800 * i) for i in range(5)]

    for each in made:
        outlet.put(each)
    outlet.close()

    assert outlet.has_ended(30)
    assert place.is_closed
    assert place.lines() == [line(each) for each in made]
    folders = [path.rpartition("/")[0] for path in place.files]
    assert folders == [f"churn/2/1970/01/01/{hour:02}" for hour in range(3)]
    assert counts(outlet) == {"written": 5}


def test_two_outlets_never_write_the_same_file(place: Place) -> None:
    outlets = [Outlet("here", lambda: place) for _ in range(2)]
    for each in outlets:
        each.put(record())
        each.close()
        assert each.has_ended(30)

    assert len(place.files) == 2


def test_many_are_written_before_the_period_is_over(outlet: Outlet, place: Place) -> None:
    for _ in range(300):
        outlet.put(record())

    assert place.entered.wait(1)


def test_a_full_queue_drops_and_counts_and_tells_once(
    outlet: Outlet, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.gate.clear()
    outlet.put(record())
    assert place.entered.wait(30)

    before = time.perf_counter()
    for _ in range(MOST_KEPT + 7):
        outlet.put(record())

    assert time.perf_counter() - before < 1
    assert counts(outlet) == {"dropped": 7}
    assert [each.getMessage() for each in caplog.records] == [
        "file:///there takes too little: not all is collected"
    ]
    place.gate.set()
    until(lambda: counts(outlet) == {"written": MOST_KEPT + 1, "dropped": 7})


def test_a_queue_is_full_also_by_its_bytes(outlet: Outlet, place: Place) -> None:
    place.gate.clear()
    outlet.put(record())
    assert place.entered.wait(30)

    for _ in range(100):
        outlet.put(record(size_bytes=LARGEST_BYTES))

    assert counts(outlet)["dropped"] == 100 - MOST_BYTES // LARGEST_BYTES - 1


def test_what_is_too_large_is_dropped(outlet: Outlet, place: Place) -> None:
    outlet.put(record(size_bytes=LARGEST_BYTES + 1))
    outlet.put(record({"x": np.array(["x" * 4_000_000], object)}))
    outlet.close()

    assert outlet.has_ended(30)
    assert (counts(outlet), place.files) == ({"dropped": 2}, {})


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (RegistryUnavailable("container c answered 403"), "container c answered 403"),
        (ValueError("https://a/c?sig=hunter2"), "ValueError"),
    ],
)
def test_a_dead_place_is_told_once_and_tried_again(
    outlet: Outlet, place: Place, caplog: pytest.LogCaptureFixture, error: Exception, told: str
) -> None:
    caplog.set_level(logging.INFO)
    place.error = error
    for _ in range(600):
        outlet.put(record(request_id=b"lost"))
    until(lambda: counts(outlet) == {"failed": 600})
    outlet.put(record(request_id=b"lost"))
    until(lambda: counts(outlet) == {"failed": 601})

    place.error = None
    outlet.put(record(request_id=b"kept"))
    until(lambda: counts(outlet) == {"failed": 601, "written": 1})

    assert [each["request_id"] for each in place.lines()] == ["kept"]
    lines = [each.getMessage() for each in caplog.records]
    assert lines == [
        f"file:///there: nothing is collected: {told}",
        "file:///there: collecting again",
    ]


def test_what_is_no_json_fails_alone(outlet: Outlet, place: Place) -> None:
    class Odd:
        def __str__(self) -> str:
            raise ValueError

    odd = np.empty(1, object)
    odd[0] = Odd()
    for each in (record(), record({"x": odd}), record()):
        outlet.put(each)
    outlet.close()

    assert outlet.has_ended(30)
    assert counts(outlet) == {"written": 2, "failed": 1}


def test_the_end_waits_for_no_place_that_hangs(outlet: Outlet, place: Place) -> None:
    place.gate.clear()
    outlet.put(record())
    assert place.entered.wait(30)
    for _ in range(3):
        outlet.put(record())

    before = time.monotonic()
    outlet.close()
    assert not outlet.has_ended(0.2)

    assert time.monotonic() - before < 1
    assert counts(outlet) == {"dropped": 3}


def test_a_folder_takes_whole_lines_or_none(tmp_path: Path) -> None:
    folder = Folder(f"file://{tmp_path}/new")

    folder.append("a/b.jsonl", b"1\n2\n")
    folder.append("a/b.jsonl", b"3\n")

    assert (tmp_path / "new/a/b.jsonl").read_bytes() == b"1\n2\n3\n"


def test_a_disk_that_is_full_keeps_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource
    import signal

    folder = Folder(f"file://{tmp_path}")
    folder.append("a", b"1\n")
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))
    try:
        with pytest.raises(OSError, match="File too large"):
            folder.append("a", b"2" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
        signal.signal(signal.SIGXFSZ, ignored)

    assert (tmp_path / "a").read_bytes() == b"1\n"
