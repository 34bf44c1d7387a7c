"""What a trace becomes before it is sent: whose it is, its phases, and whether it is told of."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.insights.requests import Caller, Failure, Note, Request
from app.telemetry.insights.sampling import MOST_PER_S, Kind, Sampler
from tests.telemetry.traces import CALLER, ended

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [
        (CALLER, True),
        (f"00-{TRACE}-{SPAN}-00".encode(), False),
        (f"00-{TRACE}-{SPAN}-03".encode(), True),
        (f"cc-{TRACE}-{SPAN}-01-what-will-be".encode(), True),
    ],
)
def test_a_traceparent_names_the_caller(header: bytes, is_sampled: bool) -> None:
    assert Caller.of(header) == (int(TRACE, 16), int(SPAN, 16), is_sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"00",
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}-01-more".encode(),
        f"00-{TRACE.upper()}-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}".encode(),
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE}-{SPAN}-01\n".encode(),
    ],
)
def test_what_is_no_traceparent_names_nobody(header: bytes | None) -> None:
    assert Caller.of(header) is None


@given(st.binary(max_size=60))
def test_any_header_is_read(header: bytes) -> None:
    Caller.of(header)


def made(**more: object) -> Request:
    return Request.of(ended(**more), [], trace_id=1, caller=None, percent=100.0, offset_ns=10**18)  # type: ignore[arg-type]  # what `ended` sets


def test_phases_follow_each_other_within_the_request() -> None:
    request = made()

    assert [phase.name for phase in request.phases] == ["decode", "queue", "predict", "encode"]
    ends = [request.start_ns] + [phase.end_ns for phase in request.phases]
    for phase, before in zip(request.phases, ends, strict=False):
        assert phase.start_ns >= before
        assert phase.end_ns <= request.end_ns
    assert len({phase.span_id for phase in request.phases} | {request.span_id}) == 5


def test_a_phase_that_nobody_asks_about_is_told_when_it_was_long() -> None:
    short, long = made(phases={"model": 0.0002}), made(phases={"model": 0.2})

    assert "model" not in [phase.name for phase in short.phases]
    assert "model" in [phase.name for phase in long.phases]


def test_a_signature_in_an_error_of_a_library_is_not_sent() -> None:
    address = "https://a.blob.core.windows.net/c/b?sv=1&sig=c2lnbmF0dXJl%3D"
    try:
        raise ConnectionError(f"Max retries exceeded with url: {address}")
    except ConnectionError as error:
        told_of = (type(error), error, error.__traceback__)
        record = logging.LogRecord("x", 40, "", 0, "for %s", (address,), told_of)
    note = Note.of(record)

    assert note.failure is not None
    for told in (note.message, note.failure.message, note.failure.text):
        assert "c2lnbmF0dXJl" not in told
        assert "sig=REDACTED" in told


def test_an_exception_keeps_no_frame() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError

    try:
        raise Odd
    except Odd as error:
        failure = Failure.of(error)
    assert failure.kind == "Odd"
    assert failure.frames[-1].name == "test_an_exception_keeps_no_frame"
    assert failure.frames[-1].locals is None


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def kept(sampler: Sampler, count: int, kind: Kind = Kind.ORDINARY) -> list[tuple[int, float]]:
    """Trace id and percent of those that are."""
    step = 2**56 // count
    asked = ((each, sampler.percent(kind, each)) for each in range(0, step * count, step))
    return [(each, percent) for each, percent in asked if percent is not None]


def test_few_are_all_told() -> None:
    clock = Clock()
    sampler = Sampler(clock)
    for _ in range(10):
        assert [percent for _, percent in kept(sampler, 10)] == [100.0] * 10
        clock.now += 1


def test_beyond_them_those_of_low_trace_ids_are_told() -> None:
    told = kept(Sampler(Clock()), 500)[10:]

    assert len(told) == 16  # 26 ids are that low, of which the first ten were told anyway
    assert {percent for _, percent in told} == {5.0}
    assert max(each for each, _ in told) < 0.05 * 2**56


def test_what_all_of_them_stand_for_adds_up() -> None:
    clock = Clock()
    sampler = Sampler(clock)
    for seen in (50, 200, 500):
        clock.now += 10
        stand_for = sum(100 / percent for _, percent in kept(sampler, seen))
        assert stand_for == pytest.approx(seen, abs=220)


def test_at_very_high_rates_fewer_are_told() -> None:
    clock = Clock()
    sampler = Sampler(clock)
    kept(sampler, 20_000)
    clock.now += 1

    told = kept(sampler, 20_000)
    assert len(told) <= MOST_PER_S + 10
    assert told[-1][1] == pytest.approx(MOST_PER_S / 20_000 * 100)


def test_failures_are_told_however_many_succeed() -> None:
    sampler = Sampler(Clock())
    kept(sampler, 5000)

    assert len(kept(sampler, 10, Kind.FAILED)) == 10
