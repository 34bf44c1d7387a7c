"""Logs: JSON lines that parse whatever they are given, and one line for each request."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from app.telemetry import Trace
from app.telemetry.logs import AccessLog, configure
from app.tensors import ModelRef
from tests.serving import until


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "message", ['a "quoted"\nmessage', "\udcff", "ünï\x00\x1b[31m", "%s", "\u2028"]
)
def test_each_record_is_one_line_of_json(stream: io.StringIO, message: str) -> None:
    configure("info", "json", stream)
    logging.getLogger("app.x").warning("%s", message)

    (line,) = (json.loads(text) for text in stream.getvalue().removesuffix("\n").split("\n"))
    assert line["message"] == message
    assert (line["level"], line["logger"]) == ("warning", "app.x")
    assert line["time"].endswith("+00:00")


@pytest.mark.parametrize("value", [2**70, object(), {1: 2}, float("nan"), b"\xff"])
def test_extra_values_of_any_kind_are_written(stream: io.StringIO, value: object) -> None:
    configure("info", "json", stream)
    logging.getLogger("app.x").info("said", extra={"level": "mine", "value": value})

    (line,) = lines(stream)
    assert "value" in line
    assert line["level"] == "info"


def test_a_traceback_is_part_of_the_line(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    try:
        sys.exit("gone")
    except SystemExit:
        logging.getLogger("app.x").exception("it raised")

    (line,) = lines(stream)
    assert line["traceback"].startswith("Traceback")
    assert "SystemExit: gone" in line["traceback"]


def test_text_is_for_people_and_the_level_is_kept(stream: io.StringIO) -> None:
    configure("warning", "text", stream)
    logging.getLogger("app.x").info("not said")
    logging.getLogger("app.x").warning("said")

    assert stream.getvalue().endswith("WARNING app.x: said\n")
    assert stream.getvalue().count("\n") == 1


def test_a_stream_that_is_no_terminal_gets_json(stream: io.StringIO) -> None:
    configure("info", None, stream)
    logging.getLogger("app.x").info("said")

    assert lines(stream)[0]["message"] == "said"


def traced(status: int, code: str = "", route: str = "/score", *, has_model: bool = True) -> Trace:
    trace = Trace("POST")
    trace.route, trace.code, trace.request_id = route, code, f"id-{status}"
    if has_model:
        trace.ref, trace.rows = ModelRef("default", "m", "1"), 3
        trace.enter("predict")
    trace.end(status)
    return trace


async def test_each_request_has_one_line_within_a_moment_errors_too(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    log = AccessLog()
    log.record(traced(200))
    log.record(traced(502, "model-failed"))
    log.record(traced(401, "unauthenticated", has_model=False))
    await until(stream.getvalue)

    got = [(line["status"], line.get("code"), line.get("model")) for line in lines(stream)]
    assert got == [(200, None, "m"), (502, "model-failed", "m"), (401, "unauthenticated", None)]
    assert lines(stream)[0]["request_id"] == "id-200"


async def test_a_line_tells_this_much_and_no_more(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    log = AccessLog()
    log.record(traced(200))
    log.flush()

    (line,) = lines(stream)
    assert set(line) == {
        *("time", "level", "logger", "message", "method", "route", "status", "duration_ms"),
        *("request_id", "model", "version", "rows", "admit_ms", "predict_ms"),
    }
    assert line["message"].startswith("POST /score 200 ")
    assert line["logger"] == "app.access"


async def test_what_was_not_written_yet_is_written_at_exit_and_only_once(
    stream: io.StringIO,
) -> None:
    configure("info", "json", stream)
    log = AccessLog()
    log.record(traced(200))
    assert stream.getvalue() == ""
    log.flush()
    log.flush()
    await asyncio.sleep(0)

    assert len(lines(stream)) == 1
    log.record(traced(201))
    log.flush()
    assert len(lines(stream)) == 2


async def test_of_many_lines_few_are_kept(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    log = AccessLog()
    for _ in range(1000):
        log.record(traced(200))

    assert 900 < len(lines(stream)) <= 1000
    log.flush()
    assert len(lines(stream)) == 1000


@pytest.mark.parametrize(("status", "count"), [(200, 0), (503, 1)])
async def test_probes_are_told_of_only_when_they_fail(
    stream: io.StringIO, status: int, count: int
) -> None:
    configure("info", "json", stream)
    log = AccessLog()
    for route in ("/livez", "/readyz", "/healthcheck", "/metrics"):
        log.record(traced(status, route=route, has_model=False))
    log.flush()

    assert len(lines(stream)) == 4 * count
