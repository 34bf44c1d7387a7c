"""One HTTP/1.1 connection: uvicorn's own, lighter, and open to what clients really send."""

from __future__ import annotations

import logging
from collections import deque
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.exchange import Application, Exchange
from app.web.outbox import Outbox

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers; more is refused as soon as it has come."""
_LINGER_S: Final = 2
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 43\r\nconnection: close\r\n\r\n"
    b"the head of the request is larger than 64Ki"
)
_KEPT_URL_BYTES: Final = 200


class Connection(HttpToolsProtocol):
    """Bounds the head of a request, reads the body of one that offers an upgrade, and spends two
    thirds of the time of its base class on each.

    uvicorn holds a head of any size in memory, and drops such a body; Java's client offers HTTP/2
    with every first request.
    """

    cycle: Exchange | None  # type: ignore[assignment]  # does all that the base class asks of one

    def __init__(self, *given: Any, outbox: Outbox | None = None, **named: Any) -> None:
        """`outbox`: shared by the connections of an event loop."""
        super().__init__(*given, **named)
        self.outbox = Outbox() if outbox is None else outbox
        self.cycle = None
        self.queued: deque[Exchange] = deque()
        """Requests that came before the one ahead of them was answered."""
        self._head_bytes = 0
        self._is_in_head = False
        self._is_refused = False
        self._head_again: bytes | None = None
        self._idle_since = 0.0
        self._is_idle = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        self.connections.discard(self)
        for exchange in (self.cycle, *self.queued):
            if exchange is not None:
                exchange.disconnect()
        self.flow.resume_writing()
        self._unset_keepalive_if_required()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]  # as the base class: it may hold a cycle

    def write(self, data: bytes) -> None:
        """At once, after what waits in the outbox."""
        self.outbox.flush()
        self.transport.write(data)

    def send_400_response(self, msg: str) -> None:
        """See the base class."""
        self.outbox.flush()
        super().send_400_response(msg)

    def shutdown(self) -> None:
        """Called by the server when it stops."""
        self.outbox.flush()
        super().shutdown()

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of a request."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser at the empty line."""
        self._is_in_head = False
        parser = self.parser
        if parser.should_upgrade() and parser.get_method() != b"CONNECT":
            self._head_again = self._without_upgrade()
            return
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["method"] = parser.get_method().decode("ascii")
        http_version = parser.get_http_version()
        scope["http_version"] = http_version
        split = _split if len(self.url) <= _KEPT_URL_BYTES else _split.__wrapped__
        scope["path"], scope["raw_path"], scope["query_string"] = split(self.url)
        before, self.cycle = (
            self.cycle,
            Exchange(
                self,
                scope,
                keep_alive=http_version != "1.0" and parser.should_keep_alive(),
                expects_continue=self.expect_100_continue,
            ),
        )
        if before is None or before.response_complete:
            self._start(self.cycle)
        else:
            self.flow.pause_reading()
            self.queued.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        exchange = self.cycle
        if exchange is None or exchange.response_complete or self._head_again is not None:
            return
        if exchange.feed(body):
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._head_again is None and self.cycle is not None:
            self.cycle.end_body()

    def on_response_complete(self) -> None:
        """Called by the exchange whose answer has gone."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.queued:
            self._start(self.queued.popleft())
            return
        self._is_idle, self._idle_since = True, self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._close_after(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        if self._is_refused:
            return
        self._is_idle = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._begin_again(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            logger.info("a request that is not HTTP was refused")
            self.send_400_response("Invalid HTTP request received.")
        else:
            if self._is_in_head:
                self._count_head(len(data))

    def _start(self, exchange: Exchange) -> None:
        app: Application = self.app
        exchange.task = task = self.loop.create_task(exchange.run(app))
        self.tasks.add(task)

    def _close_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        """One timer for many requests: it is set again for what is left of their last pause."""
        self.timeout_keep_alive_task = None
        if not self._is_idle or self.transport.is_closing():
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._close_after(left_s)
        else:
            self.transport.close()

    def _without_upgrade(self) -> bytes:
        """The head of this request, as if it had offered none (RFC 9110, section 7.8)."""
        line = b"%s %s HTTP/%s" % (
            *(self.parser.get_method(), self.url, self.parser.get_http_version().encode()),
        )
        kept = [b"%s: %s" % h for h in self.headers if h[0] not in (b"upgrade", b"connection")]
        is_last = any(name == b"connection" and b"close" in value for name, value in self.headers)
        kept += [b"connection: close"] if is_last else []
        return b"\r\n".join([line, *kept, b"", b""])

    def _begin_again(self, rest: bytes) -> None:
        """The parser takes what follows the head for another protocol: a new one reads it."""
        head, self._head_again = self._head_again, None
        self.parser = httptools.HttpRequestParser(self)
        if head is not None:
            self.data_received(head + rest)

    def _count_head(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._is_refused = True
            self.write(_TOO_LARGE)
            self.transport.write_eof()
            # what the client still sends is read and dropped, or it would not see the answer
            self.loop.call_later(_LINGER_S, self.transport.close)


@lru_cache(maxsize=256)
def _split(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, its bytes as they came, and query; clients ask for the same again and again."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""
