"""Any collector that speaks OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from app.telemetry.insights.requests import Note, Request
from app.telemetry.insights.spans import resource, spans

_TIMEOUT_S: Final = 10.0


class Collector:
    """Spans, with exceptions as their events; other lines of the log are not sent there.

    Its headers, certificates and compression are set by OpenTelemetry's own variables.
    """

    def __init__(self, endpoint: str, service_name: str) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise ValueError(
                "OTEL_EXPORTER_OTLP_ENDPOINT is a text that is no URL; allowed: http://HOST:4318 "
                "or https://HOST:4318"
            )
        url = f"{endpoint.rstrip('/')}/v1/traces"  # OTLP exporter specification, "Endpoint URLs"
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=_TIMEOUT_S)
        self._resource = resource(service_name)

    def send(self, requests: Sequence[Request], notes: Sequence[Note]) -> None:
        """See `Destination`."""
        made = [span for request in requests for span in spans(request, self._resource)]
        if made:
            self._exporter.export(made)

    def close(self) -> None:
        """See `Destination`."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # nor does it take anything
