"""The same spans at any OTLP collector, with or without Application Insights."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from app.telemetry.insights import exporters
from tests.azure.ingestion import Ingestion
from tests.telemetry.traces import CALLER, ended

logger = logging.getLogger("app.x")


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    with Ingestion() as it:
        yield it


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_collector_gets_a_span_of_the_request_and_of_each_phase(
    ingestion: Ingestion, slash: str
) -> None:
    (feed,) = exporters("opentelemetry", None, ingestion.url + slash, "fraud")
    feed.record(ended(traceparent=CALLER))
    feed.close()

    request, *phases = ingestion.spans
    assert request.name == "POST /score/{model}"
    assert (request.trace_id, request.parent_id) == (
        "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7",
    )  # fmt: skip
    told = {
        "model_name": "churn",
        "model_version": "2",
        "rows": 3,
        "http.response.status_code": 200,
    }
    assert told.items() <= request.attributes.items()
    assert request.resource["service.name"] == "fraud"
    assert [phase.name for phase in phases] == ["decode", "queue", "predict", "encode"]
    assert {(phase.trace_id, phase.parent_id) for phase in phases} == {
        (request.trace_id, request.span_id)
    }


def test_an_exception_is_an_event_of_the_span(ingestion: Ingestion) -> None:
    (feed,) = exporters("opentelemetry", None, ingestion.url, "fraud")
    logger.error("it raised", exc_info=KeyError("x"), extra={"request_id": "my-id"})
    feed.record(ended(502, "model-failed"))
    feed.close()

    ((name, told),) = ingestion.spans[0].events
    assert name == "exception"
    assert (told["exception.type"], told["exception.message"]) == ("KeyError", "'x'")
    assert told["log"] == "it raised"


@pytest.mark.parametrize("choice", ["opentelemetry", "opencensus"])
def test_both_places_get_the_same_spans_each_once(ingestion: Ingestion, choice: str) -> None:
    (feed,) = exporters(choice, ingestion.connection_string, ingestion.url, "fraud")
    feed.record(ended())
    feed.close()

    requests, phases = ingestion.data("Request"), ingestion.data("RemoteDependency")
    assert [each["id"] for each in requests + phases] == [span.span_id for span in ingestion.spans]
    assert len(ingestion.spans) == 5


def test_one_place_that_is_away_does_not_keep_the_other_from_its_spans(
    ingestion: Ingestion,
) -> None:
    (feed,) = exporters("opentelemetry", ingestion.connection_string, "http://127.0.0.1:9", "fraud")
    feed.record(ended())
    ingestion.wait_for(lambda: ingestion.data("Request"))
    feed.close()


@pytest.mark.parametrize("flag", ["00", "01"])
def test_a_caller_that_is_not_sampled_is_not_told_of_unless_it_failed(
    ingestion: Ingestion, flag: str
) -> None:
    (feed,) = exporters("opentelemetry", None, ingestion.url, "fraud")
    header = CALLER[:-2] + flag.encode()
    feed.record(ended(traceparent=header))
    feed.record(ended(500, traceparent=header))
    feed.close()

    told = [
        span.attributes["http.response.status_code"]
        for span in ingestion.spans
        if span.parent_id == "00f067aa0ba902b7"
    ]
    assert told == ([200, 500] if flag == "01" else [500])


def test_an_endpoint_that_is_no_url_is_named() -> None:
    with pytest.raises(ValueError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT "):
        exporters("opentelemetry", None, "collector:4317", "fraud")
