"""Requests as OpenTelemetry's spans. They are made when all is over: no tracer is in the way of a
request, and there is no global tracer provider, at which FastAPI would begin to make spans too."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from app import __version__
from app.telemetry.insights.requests import Failure, Note, Phase, Request

SCOPE: Final = InstrumentationScope("aml-serve", __version__)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_ERROR: Final = Status(StatusCode.ERROR)
_UNSET: Final = Status(StatusCode.UNSET)


def resource(service_name: str) -> Resource:
    """Who tells: also what OTEL_RESOURCE_ATTRIBUTES says."""
    named = {
        "service.name": service_name,
        "service.version": __version__,
        "service.instance.id": socket.gethostname(),
    }
    return Resource.create(named)


def spans(request: Request, of: Resource) -> Iterator[ReadableSpan]:
    """One of the request, with its exceptions as events, and one of each phase."""
    sampled = {} if request.percent == 100 else {"_MS.sampleRate": request.percent}
    context = SpanContext(request.trace_id, request.span_id, is_remote=False, trace_flags=_SAMPLED)
    parent = None
    if request.parent_id is not None:
        parent = SpanContext(
            request.trace_id, request.parent_id, is_remote=True, trace_flags=_SAMPLED
        )
    yield ReadableSpan(
        request.name,
        context=context,
        parent=parent,
        resource=of,
        attributes={
            "http.request.method": request.method,
            "http.route": request.route,
            "http.response.status_code": request.status,
            **request.dimensions,
            **sampled,
        },
        events=[_event(note, note.failure) for note in request.notes if note.failure],
        kind=SpanKind.SERVER,
        status=_ERROR if request.status >= 500 else _UNSET,
        start_time=request.start_ns,
        end_time=request.end_ns,
        instrumentation_scope=SCOPE,
    )
    for phase in request.phases:
        yield _span(phase, context, of, {**request.model, **sampled})


def exception(failure: Failure) -> dict[str, str]:
    """OpenTelemetry's attributes of an exception."""
    return {
        "exception.type": failure.kind,
        "exception.message": failure.message,
        "exception.stacktrace": failure.text,
    }


def _event(note: Note, failure: Failure) -> Event:
    told = {**note.dimensions, "log": note.message, **exception(failure)}
    return Event("exception", told, note.at_ns)


def _span(
    phase: Phase, parent: SpanContext, of: Resource, attributes: dict[str, str | int | float]
) -> ReadableSpan:
    return ReadableSpan(
        phase.name,
        context=SpanContext(parent.trace_id, phase.span_id, is_remote=False, trace_flags=_SAMPLED),
        parent=parent,
        resource=of,
        attributes=attributes,
        kind=SpanKind.INTERNAL,
        status=_ERROR if phase.is_failed else _UNSET,
        start_time=phase.start_ns,
        end_time=phase.end_ns,
        instrumentation_scope=SCOPE,
    )
