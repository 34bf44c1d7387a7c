"""Requests and what was logged, as traces: to Application Insights, and to any OTLP collector.

`feed` is told on the event loop, and its thread makes `requests` of some of it (`sampling`); each
destination has a thread of its own (`outlet`). Nothing of their libraries is imported before
`exporters` is called with somewhere to send to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from app.imports import imported
from app.telemetry.insights.feed import Feed
from app.telemetry.insights.outlet import Outlet
from app.telemetry.insights.relay import Relay
from app.telemetry.insights.requests import Note, Request

__all__ = ["Destination", "Feed", "exporters"]

_DESTINATIONS: Final = {
    "opentelemetry": "app.telemetry.insights.monitor:AzureMonitor",
    "opencensus": "app.telemetry.insights.census:OpenCensus",
    "otlp": "app.telemetry.insights.collector:Collector",
}
_KEY: Final = re.compile(r"InstrumentationKey=([^;]*)", re.IGNORECASE)


class Destination(Protocol):
    """Where told requests go; made with an address and the name of this service."""

    def send(self, requests: Sequence[Request], notes: Sequence[Note]) -> None:
        """`notes` are those of no request. Blocking; in a thread of its own."""
        ...

    def close(self) -> None:
        """In the same thread."""
        ...


def exporters(
    choice: str, connection_string: str | None, otlp_endpoint: str | None, service_name: str
) -> list[Feed]:
    """One, or none when there is nowhere to send to. Made where it is used, never before a fork.

    Raises:
        ValueError: an address cannot be read; says which variable, never its value.
        NotInstalled: what sends there is not here.
    """
    opened = []
    if connection_string is not None:
        opened.append(_open(choice, connection_string, service_name))
    if otlp_endpoint is not None:
        opened.append(_open("otlp", otlp_endpoint, service_name))
    if not opened:
        return []
    secrets = [connection_string, *_KEY.findall(connection_string)] if connection_string else []
    return [Feed([Outlet(destination) for destination in opened], Relay(secrets))]


def _open(name: str, address: str, service_name: str) -> Destination:
    kind = imported(_DESTINATIONS[name], f"sending traces by {name}")
    opened: Destination = kind(address, service_name)
    return opened
