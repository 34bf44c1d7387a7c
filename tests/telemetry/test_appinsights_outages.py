"""An endpoint that is away, slow or unwilling: nobody waits for it, nor is its key shown."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from app.telemetry.insights import exporters
from app.telemetry.insights.feed import Feed, Listener
from app.telemetry.insights.outlet import Outlet
from app.telemetry.insights.relay import Relay
from app.telemetry.insights.requests import Note, Request
from tests.azure.ingestion import KEY, Ingestion
from tests.telemetry.traces import ended

AWAY = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:9/"
BOTH = pytest.mark.parametrize("choice", ["opentelemetry", "opencensus"])


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    with Ingestion() as it:
        yield it


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """All that any logger lets out."""
    kept: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = kept.append  # type: ignore[assignment, method-assign]  # the shortest of handlers
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(handler)
    root.setLevel(level)


def opened(choice: str, connection_string: str) -> Feed:
    (feed,) = exporters(choice, connection_string, None, "fraud")
    return feed


@BOTH
@pytest.mark.parametrize("is_held", [True, False])
def test_neither_a_request_nor_the_end_waits_for_an_endpoint(
    ingestion: Ingestion, choice: str, *, is_held: bool
) -> None:
    ingestion.is_held = is_held
    feed = opened(choice, ingestion.connection_string if is_held else AWAY)
    feed.record(ended())
    if is_held:
        ingestion.wait_for(lambda: ingestion.posts)
    began = time.monotonic()
    for _ in range(1000):
        feed.record(ended())
    recorded = time.monotonic()
    feed.close()

    assert recorded - began < 1  # it takes some milliseconds; one answer would take ten seconds
    assert time.monotonic() - recorded < 4  # it takes two seconds at most


@BOTH
@pytest.mark.parametrize("status", [200, 206, 400, 402, 403, 439, 500])
def test_no_line_of_the_log_shows_the_key_or_is_sent(
    ingestion: Ingestion, lines: list[logging.LogRecord], choice: str, status: int
) -> None:
    ingestion.refuses, ingestion.status = status == 206, 200 if status == 206 else status
    feed = opened(choice, ingestion.connection_string)
    feed.record(ended())
    feed.close()

    assert ingestion.posts
    formatted = [logging.Formatter().format(line) + str(line.__dict__) for line in lines]
    assert formatted or status in (200, 402, 439)
    assert not [line for line in formatted if KEY in line]
    assert ingestion.data("Message") == ingestion.data("Exception") == []


@BOTH
def test_an_endpoint_that_is_away_is_told_of_once(
    lines: list[logging.LogRecord], choice: str
) -> None:
    feed = opened(choice, AWAY)
    for _ in range(3):
        feed.record(ended())
        time.sleep(0.3)
    feed.close()

    (line,) = [line for line in lines if line.levelno >= logging.WARNING]
    assert line.getMessage().startswith("telemetry is not taken: ")
    assert line.name == "app.telemetry.insights"


class Held:
    """A destination that takes nothing until it is let go."""

    def __init__(self, ingestion: Ingestion) -> None:
        self.sent = 0
        self._gate = ingestion.ending

    def send(self, requests: Sequence[Request], notes: Sequence[Note]) -> None:
        self._gate.wait()
        self.sent += len(requests)

    def close(self) -> None:
        """Nothing to let go of."""


def test_a_line_that_cannot_be_formatted_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[Note] = []
    listener = Listener(told.append)
    listener.handle(logging.makeLogRecord({"msg": "%d", "args": ("x",), "levelno": 40}))
    listener.handle(logging.makeLogRecord({"msg": "right", "levelno": 40}))

    assert [note.message for note in told] == ["right"]
    assert "Logging error" in capsys.readouterr().err


def test_a_trace_that_cannot_be_told_keeps_no_later_one_from_it(ingestion: Ingestion) -> None:
    (feed,) = exporters("opentelemetry", None, ingestion.url, "fraud")
    feed.record(ended(traceparent="no bytes"))
    time.sleep(0.5)  # for the thread to meet it by itself; with the next one it would do no harm
    feed.record(ended())
    feed.close()

    assert "POST /score/{model}" in [span.name for span in ingestion.spans]


def test_what_does_not_fit_into_a_queue_is_dropped_and_counted(ingestion: Ingestion) -> None:
    outlet = Outlet(Held(ingestion))
    request = Request.of(
        ended(), [], trace_id=1, caller=None, percent=100, offset_ns=time.time_ns()
    )
    for _ in range(1500):
        outlet.put(request)
    ingestion.ending.set()
    outlet.close()

    assert outlet.has_ended(30)
    assert outlet.dropped == 500


def test_more_than_the_thread_can_take_is_dropped_and_counted() -> None:
    feed = Feed([], Relay([]))
    trace = ended()
    for _ in range(200_000):
        feed.record(trace)
    feed.close()

    assert 0 < feed.dropped < 200_000


@BOTH
@pytest.mark.parametrize("text", ["", "x", "InstrumentationKey=s3cret", "a=b=c", "Key=s3cret;x"])
def test_a_connection_string_that_cannot_be_read_is_named_but_not_shown(
    choice: str, text: str
) -> None:
    with pytest.raises(ValueError, match=r"^APPLICATIONINSIGHTS_CONNECTION_STRING ") as told:
        exporters(choice, text, None, "fraud")
    assert "s3cret" not in str(told.value)


def test_without_an_address_nothing_is_imported() -> None:
    program = (
        "import json, sys; from app.telemetry import insights;"
        "assert insights.exporters('opentelemetry', None, None, 'x') == [];"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    root = Path(__file__).parents[2]
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, check=True, text=True
    )
    assert not {"azure", "opencensus", "opentelemetry"} & set(json.loads(told.stdout))


@BOTH
def test_nothing_is_written_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    feed = opened(choice, AWAY)
    feed.record(ended())
    feed.close()

    assert list(tmp_path.iterdir()) == []
