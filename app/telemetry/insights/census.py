"""Application Insights, by OpenCensus' exporter: retired, but older dashboards are built on it."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

from app.telemetry.insights.requests import Failure, Note, Phase, Request

with warnings.catch_warnings():  # it asks for the locale in a way that ends with Python 3.15
    warnings.simplefilter("ignore", DeprecationWarning)
    from opencensus.ext.azure.common import Options, utils
    from opencensus.ext.azure.common.protocol import Data, Envelope, ExceptionData, Message
    from opencensus.ext.azure.trace_exporter import AzureExporter
    from opencensus.trace.span import SpanKind
    from opencensus.trace.span_data import SpanData
    from opencensus.trace.status import Status

_GRACE_S: Final = 0.1
_STATISTICS: Final = "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL"


class OpenCensus:
    """Spans and lines of the log, sent by our thread; that of the library stays idle.

    Its handler of logs is not used: it has no lock, which Python 3.13 asks for, and no traceback
    without the frames of an exception.
    """

    def __init__(self, connection_string: str, service_name: str) -> None:
        os.environ.setdefault(_STATISTICS, "true")
        given = {
            "connection_string": connection_string,
            "enable_local_storage": False,
            "grace_period": _GRACE_S,
            "export_interval": 3600.0,
            "timeout": 10.0,
        }
        try:
            utils.validate_instrumentation_key(Options(**given).instrumentation_key)
        except ValueError as error:
            raise ValueError(
                "APPLICATIONINSIGHTS_CONNECTION_STRING is a text that cannot be read; allowed: "
                "InstrumentationKey=UUID;IngestionEndpoint=URL"
            ) from error
        self._exporter = AzureExporter(**given)
        self._tags = {
            "ai.cloud.role": service_name,
            "ai.cloud.roleInstance": socket.gethostname(),
        }

    def send(self, requests: Sequence[Request], notes: Sequence[Note]) -> None:
        """See `Destination`."""
        envelopes = [each for request in requests for each in self._of_request(request)]
        envelopes += map(self._of_note, notes)
        for envelope in envelopes:
            envelope.tags.update(self._tags)
        self._exporter._transmit(envelopes)

    def close(self) -> None:
        """See `Destination`."""
        self._exporter._stop(_GRACE_S)
        atexit.unregister(self._exporter._stop)
        atexit.unregister(self._exporter._worker.stop)

    def _of_request(self, request: Request) -> Iterator[Any]:
        for span in _spans(request):
            for envelope in self._exporter.span_data_to_envelope(span):
                envelope.tags["ai.operation.name"] = request.name
                envelope.data.baseData.success = span.status.is_ok
                if request.percent < 100:
                    envelope.sampleRate = request.percent
                yield envelope
        yield from map(self._of_note, request.notes)

    def _of_note(self, note: Note) -> Any:
        properties = {
            **note.dimensions,
            "level": logging.getLevelName(note.level),
            "logger_name": note.logger,
        }
        severity = (note.level - 1) // 10
        if note.failure is None:
            kind = "Message"
            data = Message(message=note.message, severityLevel=severity, properties=properties)
        else:
            kind = "Exception"
            data = ExceptionData(
                exceptions=[_exception(note.failure)],
                severityLevel=severity,
                properties={**properties, "log": note.message},
            )
        return Envelope(
            name=f"Microsoft.ApplicationInsights.{kind}",
            iKey=self._exporter.options.instrumentation_key,
            time=_time(note.at_ns),
            tags={
                **utils.azure_monitor_context,
                "ai.operation.id": f"{note.trace_id:032x}",
                "ai.operation.parentId": f"{note.span_id:016x}",
            },
            data=Data(baseData=data, baseType=f"{kind}Data"),
        )


def _spans(request: Request) -> Iterator[Any]:
    """One of the request, and one of each phase."""
    parent = None if request.parent_id is None else f"{request.parent_id:016x}"
    told = {
        "http.method": request.method,
        "http.route": request.route,
        "http.status_code": request.status,
        **request.dimensions,
    }
    is_failed = request.status >= 400
    yield _span(request, request, parent, told, SpanKind.SERVER, is_failed=is_failed)
    for phase in request.phases:
        parent = f"{request.span_id:016x}"
        told = dict(request.model)
        yield _span(request, phase, parent, told, SpanKind.UNSPECIFIED, is_failed=phase.is_failed)


def _span(
    request: Request,
    of: Request | Phase,
    parent: str | None,
    told: dict[str, str | int],
    kind: int,
    *,
    is_failed: bool,
) -> Any:
    return SpanData(
        name=of.name,
        context=SimpleNamespace(trace_id=f"{request.trace_id:032x}"),
        span_id=f"{of.span_id:016x}",
        parent_span_id=parent,
        attributes=told,
        start_time=_time(of.start_ns),
        end_time=_time(of.end_ns),
        child_span_count=0,
        stack_trace=None,
        annotations=[],
        message_events=[],
        links=[],
        status=Status(2 if is_failed else 0),  # google.rpc.Code: UNKNOWN, OK
        same_process_as_parent_span=None,
        span_kind=kind,
    )


def _exception(failure: Failure) -> dict[str, Any]:
    return {
        "id": 1,
        "outerId": 0,
        "typeName": failure.kind,
        "message": failure.message,
        "hasFullStack": True,
        "parsedStack": [
            {"level": level, "method": frame.name, "fileName": frame.filename, "line": frame.lineno}
            for level, frame in enumerate(reversed(failure.frames))
        ],
    }


def _time(ns: int) -> str:
    """As the library reads it."""
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
