"""A whole server that tells Application Insights and a collector of its requests."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.telemetry.prometheus import Prometheus
from tests import odd_models
from tests.azure.ingestion import KEY, Ingestion
from tests.odd_models import RAISES, Odd
from tests.server import SAMPLES, Server, serving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
CHOICES = pytest.mark.parametrize("choice", ["opentelemetry", "opencensus"])


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    with Ingestion() as it:
        yield it


def settings(ingestion: Ingestion, registry: Path, **more: str) -> dict[str, str]:
    return {
        "SERVE_REGISTRY": str(registry),
        "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
        **more,
    }


def score(server: Server, number: float, **headers: str) -> int:
    sent = {"data": [[number]]}
    return server.post("/score/odd", json=sent, headers=headers).status_code


@CHOICES
def test_each_request_is_told_once_with_its_trace(
    ingestion: Ingestion, tmp_path: Path, choice: str
) -> None:
    odd_models.save(tmp_path, "odd", Odd())
    more = {"SERVE_TELEMETRY": choice, "OTEL_EXPORTER_OTLP_ENDPOINT": ingestion.url}
    with serving(**settings(ingestion, tmp_path, **more)) as server:
        assert score(server, 3, **CALLER) == 200
        assert score(server, RAISES, **{**CALLER, "x-request-id": "it-raises"}) == 502
        assert server.get("/openapi.json").status_code == 200
        assert server.stop() == 0

    requests = [each for each in ingestion.data("Request") if each["name"] != "GET /readyz"]
    told = [(each["name"], each["responseCode"]) for each in requests]
    scored = "POST /score/{model}"
    assert told == [(scored, "200"), (scored, "502"), ("GET /openapi.json", "200")]
    assert [span.name for span in ingestion.spans if span.name in dict(told)] == [
        n for n, _ in told
    ]
    for envelope in requests[:2] + ingestion.data("RemoteDependency"):
        assert envelope["tags"]["ai.operation.id"] == TRACE
        assert envelope["properties"]["model_name"] == "odd"
    (raised,) = ingestion.data("Exception")
    assert raised["exceptions"][0]["typeName"] == "RuntimeError"
    assert raised["tags"]["ai.operation.id"] == TRACE
    assert '"request_id":"it-raises"' in server.log()


def test_a_bug_of_any_route_is_an_exception_of_its_request(
    ingestion: Ingestion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def text(_: object) -> bytes:
        raise KeyError("weights")

    monkeypatch.setattr(Prometheus, "text", text)
    environ = settings(ingestion, SAMPLES, SERVE_CACHE_DIR=str(tmp_path))
    application: Any = create_app(Settings.load(environ))
    with TestClient(application, raise_server_exceptions=False) as client:
        assert client.get("/metrics", headers=CALLER).status_code == 500

    (request,), (raised,) = ingestion.data("Request"), ingestion.data("Exception")
    assert (request["name"], request["responseCode"]) == ("GET /metrics", "500")
    assert request["properties"]["request_id"]
    assert request["properties"]["code"] == "internal"
    assert raised["tags"]["ai.operation.id"] == request["tags"]["ai.operation.id"] == TRACE
    assert raised["exceptions"][0]["message"] == "'weights'"


@CHOICES
def test_a_held_endpoint_holds_no_shutdown_and_no_key_is_logged(
    ingestion: Ingestion, tmp_path: Path, choice: str
) -> None:
    odd_models.save(tmp_path, "odd", Odd())
    ingestion.is_held = True
    more = {"SERVE_TELEMETRY": choice, "SERVE_LOG_LEVEL": "debug", "SERVE_WORKERS": "2"}
    with serving(**settings(ingestion, tmp_path, **more)) as server:
        assert score(server, 3) == 200
        ingestion.wait_for(lambda: ingestion.posts)
        assert score(server, 3) == 200
        began = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0

    assert time.monotonic() - began < 8  # two seconds, on a machine that does nothing else
    assert KEY not in server.log()


def test_a_connection_string_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    environ = {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=s3cret"}
    with serving("", **environ) as server:
        assert server.process.wait(60) == 2
    *_, last = server.log().splitlines()
    assert last.startswith("APPLICATIONINSIGHTS_CONNECTION_STRING ")
    assert "s3cret" not in server.log()
