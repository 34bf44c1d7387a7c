"""Requests, phases, exceptions and lines of the log in Application Insights, by both exporters."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest

from app.telemetry.insights import exporters
from app.telemetry.insights.feed import Feed
from tests.azure.ingestion import Ingestion
from tests.telemetry.traces import CALLER, ended

logger = logging.getLogger("app.x")


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    with Ingestion() as it:
        yield it


@pytest.fixture(params=["opentelemetry", "opencensus"])
def feed(ingestion: Ingestion, request: pytest.FixtureRequest) -> Iterator[Feed]:
    (feed,) = exporters(request.param, ingestion.connection_string, None, "fraud")
    yield feed
    feed.close()


def test_a_request_is_told_with_its_model_and_its_phases(feed: Feed, ingestion: Ingestion) -> None:
    feed.record(ended())
    feed.close()

    (request,) = ingestion.data("Request")
    assert (request["name"], request["responseCode"], request["success"]) == (
        "POST /score/{model}", "200", True,
    )  # fmt: skip
    told = {"model_name": "churn", "model_version": "2", "request_id": "my-id", "rows": 3}
    assert {name: str(request["properties"][name]) for name in told} == {
        name: str(value) for name, value in told.items()
    }
    assert request["tags"]["ai.cloud.role"] == "fraud"
    assert request["tags"]["ai.cloud.roleInstance"] == socket.gethostname()
    phases = ingestion.data("RemoteDependency")
    assert [phase["name"] for phase in phases] == ["decode", "queue", "predict", "encode"]
    for phase in phases:
        assert phase["tags"]["ai.operation.parentId"] == request["id"]
        assert phase["tags"]["ai.operation.id"] == request["tags"]["ai.operation.id"]
        assert phase["properties"]["model_name"] == "churn"


def test_the_trace_of_the_caller_is_continued(feed: Feed, ingestion: Ingestion) -> None:
    feed.record(ended(traceparent=CALLER))
    feed.close()

    (request,) = ingestion.data("Request")
    assert request["tags"]["ai.operation.id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert request["tags"]["ai.operation.parentId"] == "00f067aa0ba902b7"


def test_a_model_that_raises_is_an_exception_of_its_request(
    feed: Feed, ingestion: Ingestion
) -> None:
    try:
        raise ValueError("13 is bad")
    except ValueError:
        logger.exception("churn:2: the model's own code raised", extra={"request_id": "my-id"})
    feed.record(ended(502, "model-failed"))
    feed.close()

    (request,), (raised,) = ingestion.data("Request"), ingestion.data("Exception")
    assert not request["success"]
    failed = [phase["success"] for phase in ingestion.data("RemoteDependency")]
    assert failed == [True, True, False, True]
    assert raised["tags"]["ai.operation.id"] == request["tags"]["ai.operation.id"]
    assert raised["tags"]["ai.operation.parentId"] == request["id"]
    (told,) = raised["exceptions"]
    assert (told["typeName"], told["message"]) == ("ValueError", "13 is bad")
    assert __file__ in str(told)
    assert raised["properties"]["model_name"] == "churn"
    assert ingestion.data("Message") == []


def test_a_line_of_the_log_is_joined_by_its_request_id(feed: Feed, ingestion: Ingestion) -> None:
    logger.warning("odd", extra={"request_id": "my-id"})
    logger.warning("of no request")
    logger.info("not told")
    feed.record(ended())
    feed.close()

    (request,) = ingestion.data("Request")
    lines = {line["message"]: line for line in ingestion.data("Message")}
    assert set(lines) == {"odd", "of no request"}
    assert lines["odd"]["tags"]["ai.operation.id"] == request["tags"]["ai.operation.id"]
    assert lines["odd"]["tags"]["ai.operation.parentId"] == request["id"]
    assert lines["of no request"]["tags"]["ai.operation.id"] == "0" * 32
    assert lines["of no request"]["properties"]["logger_name"] == "app.x"
    assert {line["severityLevel"] for line in lines.values()} in ({2}, {"Warning"})


def test_an_exception_of_no_request_is_told_too(feed: Feed, ingestion: Ingestion) -> None:
    logger.error("a load failed", exc_info=KeyError("weights"))
    feed.close()

    (raised,) = ingestion.data("Exception")
    (told,) = raised["exceptions"]
    assert (told["typeName"], told["message"]) == ("KeyError", "'weights'")
    assert raised["properties"]["log"] == "a load failed"


def test_a_line_whose_request_does_not_come_is_told_at_the_end(
    feed: Feed, ingestion: Ingestion
) -> None:
    logger.warning("odd", extra={"request_id": "other-id"})
    feed.close()

    (line,) = ingestion.data("Message")
    assert line["properties"]["request_id"] == "other-id"


def test_probes_are_told_of_only_when_they_fail(feed: Feed, ingestion: Ingestion) -> None:
    for route in ("/livez", "/readyz", "/healthcheck", "/metrics"):
        feed.record(ended(route=route, ref=None))
    feed.record(ended(503, route="/readyz", ref=None))
    feed.close()

    (request,) = ingestion.data("Request")
    assert (request["name"], request["responseCode"]) == ("POST /readyz", "503")
    assert ingestion.data("RemoteDependency") == []


def test_what_is_recorded_arrives_while_the_server_runs(feed: Feed, ingestion: Ingestion) -> None:
    feed.record(ended())
    ingestion.wait_for(lambda: ingestion.data("Request"))


def test_of_many_in_a_second_few_are_told_and_for_how_many_they_stand(
    feed: Feed, ingestion: Ingestion
) -> None:
    for _ in range(500):
        feed.record(ended())
    feed.close()

    requests = ingestion.data("Request")
    rates = [100 if request["sampleRate"] in (None, 100) else 5 for request in requests]
    assert 10 <= rates.count(100) <= 50  # as many seconds as it took, at 10 each
    assert 4 <= rates.count(5) <= 60  # about 25
    assert {phase["sampleRate"] for phase in ingestion.data("RemoteDependency")} >= {5}
