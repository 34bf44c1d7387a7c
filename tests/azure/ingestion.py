"""A stand-in of Application Insights' ingestion endpoint, and of an OTLP collector."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

KEY = "0a0b0c0d-1111-4222-8333-444455556666"
TRACK = ("/v2.1/track", "//v2.1/track", "/v2/track")
GIVE_UP_S = 30.0


@dataclass(frozen=True, slots=True)
class Span:
    """One that came by OTLP."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class Ingestion:
    """Listens on loopback while its context is open; keeps all that it takes."""

    def __init__(self) -> None:
        self.envelopes: list[dict[str, Any]] = []
        self.spans: list[Span] = []
        self.status = 200
        """Of all answers; what is answered otherwise is not taken."""
        self.refuses = False
        """Each item by itself, in answers that are 206."""
        self.posts = 0
        self.is_held = False
        """Nothing is answered before the end."""
        self.ending = Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.of = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.connection_string = (
            f"InstrumentationKey={KEY};IngestionEndpoint={self.url}/;LiveEndpoint={self.url}/"
        )

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, it: BaseException | None, _: TracebackType | None
    ) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()

    def data(self, kind: str) -> list[dict[str, Any]]:
        """The `baseData` of envelopes such as "Request", with their `tags`."""
        return [
            {**each["data"]["baseData"], "tags": each["tags"], "sampleRate": each.get("sampleRate")}
            for each in list(self.envelopes)
            if each["data"]["baseType"] == f"{kind}Data"
        ]

    def wait_for(self, holds: Callable[[], object]) -> None:
        """Until it does."""
        until = time.monotonic() + GIVE_UP_S
        while not holds():
            assert time.monotonic() < until, (self.envelopes, self.spans)
            time.sleep(0.02)

    def take(self, path: str, body: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body of the answer."""
        if path in TRACK:
            text = body.decode()
            items = (
                json.loads(text)
                if text.startswith("[")
                else list(map(json.loads, text.split("\n")))
            )
            if self.refuses:
                whys = [
                    {"index": index, "statusCode": 400, "message": "unlikely"}
                    for index in range(len(items))
                ]
                return 206, "application/json", _answer(len(items), whys)
            self.envelopes += items
            return 200, "application/json", _answer(len(items), [])
        assert path == "/v1/traces", path
        self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        return 200, "application/x-protobuf", ExportTraceServiceResponse().SerializeToString()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    of: Ingestion

    def handle_error(self, *_: Any) -> None:
        """A client that left: its own affair."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        of = self.server.of
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        of.posts += 1
        if of.is_held:
            of.ending.wait()
            return
        status, kind, answer = of.status, "application/json", b"{}"
        if status == 200:
            status, kind, answer = of.take(self.path, body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """What came is kept."""


def _answer(received: int, errors: list[dict[str, Any]]) -> bytes:
    accepted = received - len(errors)
    told = {"itemsReceived": received, "itemsAccepted": accepted, "errors": errors}
    return json.dumps(told).encode()


def _spans(told: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            attributes=_values(span.attributes),
            resource=_values(group.resource.attributes),
            events=[(event.name, _values(event.attributes)) for event in span.events],
        )
        for group in told.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
