"""A trace: every moment of a request belongs to one phase."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry import Trace


@given(st.lists(st.sampled_from(["model", "decode", "queue", "predict"]), max_size=8))
def test_the_phases_add_up_to_the_duration(phases: list[str]) -> None:
    trace = Trace("POST")
    for phase in phases:
        trace.enter(phase)
    trace.end(200)

    assert sum(trace.phases.values()) == pytest.approx(trace.duration_s)
    assert set(trace.phases) == {"admit", *phases}
    assert trace.status == 200


def test_a_phase_that_comes_twice_is_counted_once_with_both_times() -> None:
    trace = Trace("POST")
    began = trace.started_at
    trace.enter("decode", began + 1)
    trace.enter("model", began + 3)
    trace.enter("decode", began + 4)
    trace.enter("queue", began + 8)

    assert trace.phases == pytest.approx({"admit": 1, "decode": 6, "model": 1})
