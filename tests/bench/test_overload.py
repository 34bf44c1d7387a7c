"""What counts as a fault of an overloaded server."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench.made_up import an_overload


def test_200_and_503_with_retry_after_are_no_faults() -> None:
    assert an_overload(statuses={"200": 5, "503": 1000}).faults == []


@pytest.mark.parametrize(
    ("more", "faults"),
    [
        ({"statuses": {"200": 1, "500": 2, "504": 3}}, ["2 x 500", "3 x 504"]),
        (
            {"broken": {"connect": 0, "read": 4, "write": 0, "timeout": 1}},
            ["4 x read", "1 x timeout"],
        ),
        ({"without_retry_after": 6}, ["6 x 503 without Retry-After"]),
        ({"statuses": {"503": 10}}, ["no 200"]),
        ({"statuses": {}}, ["no 200"]),
    ],
)
def test_all_else_is_a_fault(more: dict[str, Any], faults: list[str]) -> None:
    assert an_overload(**more).faults == faults
