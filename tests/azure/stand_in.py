"""What every stand-in is: HTTP in threads, with a log of requests and faults on demand."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One request that came in."""

    method: str
    path: str
    values: Mapping[str, str]
    """Of the query and of the form."""
    headers: Mapping[str, str]
    """Lower-case names."""
    body: bytes = b""

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body or b"{}")


@dataclass(frozen=True, slots=True)
class Answer:
    """JSON, or bytes as they are, with its status."""

    body: Mapping[str, Any] | bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Slow:
    of: str
    seconds: float
    now: int = 0
    most: int = 0


@dataclass(slots=True)
class _Fault:
    of: str
    answer: Answer | None
    count: float


class StandIn:
    """Listens on loopback, on ports that the system chooses, while its context is open."""

    def __init__(self, *contexts: ssl.SSLContext | None) -> None:
        """One port for each of `contexts`; without TLS where it is None."""
        self.requests: list[Request] = []
        self._faults: list[_Fault] = []
        self._slow: _Slow | None = None
        self._lock = Lock()
        self._ending = Event()
        self._servers = [_Server(self, context) for context in contexts]
        self.ports = [server.server_port for server in self._servers]

    def __enter__(self) -> Self:
        for server in self._servers:
            Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, it: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ending.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def fail(
        self,
        of: str,
        status: int = 503,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | bytes | None = None,
        hang: bool = False,
        count: float = float("inf"),
    ) -> None:
        """Let the next `count` requests whose path holds `of` fail so; `hang`: never answer."""
        answer = None if hang else Answer({} if body is None else body, status, headers or {})
        self._faults.append(_Fault(of, answer, count))

    def slow(self, of: str, seconds: float) -> None:
        """Let requests whose path holds `of` take so long, each; they are counted."""
        self._slow = _Slow(of, seconds)

    @property
    def most_at_once(self) -> int:
        """Of the slow requests."""
        return 0 if self._slow is None else self._slow.most

    def mend(self) -> None:
        """No faults from now on."""
        self._faults, self._slow = [], None

    def asked(self, part: str) -> int:
        """How many requests had `part` in their path."""
        return sum(part in request.path for request in self.requests)

    def told(self, request: Request) -> Answer | None:
        """What the request gets; None: nothing, ever."""
        slow = self._slow
        if slow is not None and slow.of in request.path:
            with self._lock:
                slow.now += 1
                slow.most = max(slow.most, slow.now)
            self._ending.wait(slow.seconds)
            with self._lock:
                slow.now -= 1
        with self._lock:
            self.requests.append(request)
            fault = next((f for f in self._faults if f.of in request.path and f.count > 0), None)
            if fault is None:
                return self.answer(request)
            fault.count -= 1
        if fault.answer is None:
            self._ending.wait()
        return fault.answer

    def answer(self, request: Request) -> Answer:
        """What the request gets when nothing is to fail; one at a time."""
        raise NotImplementedError


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, of: StandIn, context: ssl.SSLContext | None) -> None:
        self.of = of
        super().__init__(("127.0.0.1", 0), _Handler)
        if context is not None:
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def handle_error(self, *_: Any) -> None:
        """A handshake that failed, a client that left: their own affair."""


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, writes an answer; a connection each."""

    server: _Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        is_form = "form" in (self.headers.get("Content-Type") or "")
        values = {**parse_qs(url.query), **parse_qs(body.decode() if is_form else "")}
        request = Request(
            self.command,
            url.path,
            {name: value[0] for name, value in values.items()},
            {name.lower(): value for name, value in self.headers.items()},
            body,
        )
        answer = self.server.of.told(request)
        if answer is None:
            return
        sent = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(sent))}
        for name, value in {**headers, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """`StandIn.requests` is the log."""
