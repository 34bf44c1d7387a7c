"""Application Insights, by the OpenTelemetry exporter of Azure Monitor."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.monitor.opentelemetry.exporter import AzureMonitorLogExporter, AzureMonitorTraceExporter
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from app.telemetry.insights.requests import Note, Request
from app.telemetry.insights.spans import exception, resource, spans

_OFF: Final = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED",
)
"""What the exporter would tell and ask its makers, unless the operator wants it to."""
_SEVERITIES: Final = {
    30: SeverityNumber.WARN,
    40: SeverityNumber.ERROR,
    50: SeverityNumber.FATAL,
}


class AzureMonitor:
    """Spans and lines of the log; nothing is kept on disk, and nobody else is told anything."""

    def __init__(self, connection_string: str, service_name: str) -> None:
        for name in _OFF:
            os.environ.setdefault(name, "true")
        given: dict[str, Any] = {
            "connection_string": connection_string,
            "disable_offline_storage": True,
            "http_logging_policy": SansIOHTTPPolicy(),
            "timeout": 5.0,
            "read_timeout": 10.0,
            "retry_total": 2,
        }
        try:
            self._traces = AzureMonitorTraceExporter(**given)
            self._logs = AzureMonitorLogExporter(**given)
        except ValueError as error:
            raise ValueError(
                "APPLICATIONINSIGHTS_CONNECTION_STRING is a text that cannot be read; allowed: "
                "InstrumentationKey=UUID;IngestionEndpoint=URL"
            ) from error
        self._resource = resource(service_name)

    def send(self, requests: Sequence[Request], notes: Sequence[Note]) -> None:
        """See `Destination`."""
        made = [span for request in requests for span in spans(request, self._resource)]
        if made:
            self._traces.export(made)
        records = list(self._records(requests, notes))
        if records:
            self._logs.export(records)

    def close(self) -> None:
        """See `Destination`."""
        for exporter in (self._traces, self._logs):
            exporter.shutdown()
            exporter.client.close()

    def _records(
        self, requests: Sequence[Request], notes: Sequence[Note]
    ) -> Iterator[ReadableLogRecord]:
        """An exception of a request is an event of its span already."""
        for request in requests:
            for note in request.notes:
                if note.failure is None:
                    yield self._record(note, {})
        for note in notes:
            yield self._record(note, exception(note.failure) if note.failure else {})

    def _record(self, note: Note, failure: dict[str, str]) -> ReadableLogRecord:
        within = SpanContext(note.trace_id, note.span_id, is_remote=False)
        severity = _SEVERITIES.get(note.level, SeverityNumber.WARN)
        record = LogRecord(
            timestamp=note.at_ns,
            context=set_span_in_context(NonRecordingSpan(within)),
            severity_number=severity,
            severity_text=severity.name,
            body=None if failure else note.message,  # it would stand for that of the exception
            attributes={**note.dimensions, **({"log": note.message} if failure else {}), **failure},
        )
        return ReadableLogRecord(record, self._resource, InstrumentationScope(note.logger))
