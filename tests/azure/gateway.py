"""What stands before the storage as a company's proxy might: hands requests on, or spoils them."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.azure.certificates import Certificates
from tests.azure.storage import Storage


@dataclass(slots=True)
class Fault:
    """What happens to the next `count` requests whose path and query hold `of`."""

    of: str
    status: int = 0
    """Answered instead, with `code` as the storage words it; 0: it is asked."""
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    """The body ends after so many bytes, and the connection with it."""
    hang_at: int | None = None
    """The body stops after so many bytes, and the connection stays."""
    spoils: bool = False
    """The first byte of the body is another one."""
    edit: tuple[bytes, bytes] | None = None
    """What is replaced in the body, by what."""
    does: Callable[[], None] | None = None
    """Called before the storage is asked."""
    ranged: bool | None = None
    """Only requests that ask for a range, or only others."""
    count: float = float("inf")


class Gateway:
    """TLS on loopback at `port` while its context is open, in front of `storage`."""

    def __init__(self, certificates: Certificates, storage: Storage) -> None:
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        """Method and path with its query, of each request."""
        self.upstream = storage.port
        self.remembers = False
        """Bodies are kept, and given again without asking the storage."""
        self.kept: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.trust = ssl.create_default_context(cafile=str(certificates.ca))
        self.lock = threading.Lock()
        self.ending = threading.Event()
        self._server = _Server(self, certificates.server_context())
        self.storage = Storage(self._server.server_port)
        """As it is seen through here."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, it: BaseException | None, _: TracebackType | None
    ) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, of: str = "", status: int = 0, code: str = "", **more: Any) -> None:
        """Let requests whose path and query hold `of` end as `Fault` says."""
        self.faults.append(Fault(of, status, code, **more))

    def fault(self, method: str, path: str, is_ranged: bool) -> Fault | None:
        """The one that this request meets."""
        with self.lock:
            self.asked.append(f"{method} {path}")
            for fault in self.faults:
                is_meant = fault.ranged is None or fault.ranged == is_ranged
                if fault.of in path and fault.count > 0 and is_meant:
                    fault.count -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, of: Gateway, context: ssl.SSLContext) -> None:
        self.of = of
        super().__init__(("127.0.0.1", 0), _Handler)
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def handle_error(self, *_: Any) -> None:
        """A client that left: its own affair."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    sent = b""

    def do_GET(self) -> None:
        self.sent = self.rfile.read(int(self.headers.get("content-length") or 0))
        is_ranged = "x-ms-range" in self.headers
        fault = self.server.of.fault(self.command, self.path, is_ranged) or Fault("")
        if fault.does is not None:
            fault.does()
        if fault.status:
            text = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message/></Error>"
            told = {"x-ms-error-code": fault.code} if fault.code else {}
            self._send(fault.status, {**told, **fault.headers}, text.encode(), fault)
            return
        self._send(*self._asked(), fault)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def _asked(self) -> tuple[int, dict[str, str], bytes]:
        of = self.server.of
        asked = f"{self.command} {self.path} {self.headers.get('x-ms-range')}"
        if of.remembers and asked in of.kept:
            return of.kept[asked]
        storage = http.client.HTTPSConnection("localhost", of.upstream, context=of.trust)
        storage.request(self.command, self.path, self.sent or None, dict(self.headers))
        answer = storage.getresponse()
        body = answer.read()
        storage.close()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP}
        if of.remembers:
            of.kept[asked] = answer.status, kept, body
        return answer.status, kept, body

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        if fault.spoils and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault.edit is not None:
            body = body.replace(*fault.edit)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        end = fault.cut_at if fault.hang_at is None else fault.hang_at
        self.wfile.write(body[:end] if self.command != "HEAD" else b"")
        self.wfile.flush()
        if fault.hang_at is not None:
            self.server.of.ending.wait()
        if end is not None:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """`Gateway.asked` is the log."""


_HOP = ("content-length", "transfer-encoding", "connection", "keep-alive", "server", "date")
