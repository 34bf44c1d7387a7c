"""One request and its answer on a connection: what the application is called with (ASGI 3.0)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

if TYPE_CHECKING:
    from app.web.connection import Connection

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_FRAMING: Final = frozenset({b"connection", b"content-length", b"transfer-encoding"})
_WITHOUT_BODY: Final = frozenset({204, 304})
_FAILURE: Final = b"Internal Server Error"
_FAILED: Final[Message] = {
    "type": "http.response.start",
    "status": 500,
    "headers": [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(_FAILURE)),
        (b"connection", b"close"),
    ],
}


class Exchange:
    """Cheaper than uvicorn's own: the head of an answer leaves with its body in one write, a body
    is waited for only when it is not there, and header lines are checked together."""

    __slots__ = (
        *("_buffered", "_chunks", "_connection", "_expects_continue", "_has_left", "_head"),
        *("_is_chunked", "_is_read", "_is_told", "_scope", "_to_send", "_waiter"),
        *("disconnected", "is_begun", "keep_alive", "response_complete", "task"),
    )

    def __init__(
        self,
        connection: Connection,
        scope: MutableMapping[str, Any],
        *,
        keep_alive: bool,
        expects_continue: bool,
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._expects_continue = expects_continue
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._is_read = False
        """All of the body has come."""
        self._is_told = False
        """And the application knows."""
        self._waiter: asyncio.Future[None] | None = None
        self._head: bytes | None = None
        """Of the answer, until it leaves with the first of its body."""
        self._has_left = False
        self._is_chunked = False
        self._to_send = 0
        """Bytes of the body of the answer that are still to come."""
        self.keep_alive = keep_alive
        self.is_begun = False
        self.response_complete = False
        self.disconnected = False
        self.task: asyncio.Task[None] | None = None

    def feed(self, chunk: bytes) -> bool:
        """A part of the body has come; whether there is now enough for a while."""
        self._chunks.append(chunk)
        self._buffered += len(chunk)
        is_much = self._buffered > HIGH_WATER_LIMIT
        if is_much:
            self._wake()
        return is_much

    def end_body(self) -> None:
        """All of it has come."""
        self._is_read = True
        self._wake()

    def disconnect(self) -> None:
        """The connection has gone."""
        if not self.response_complete:
            self.disconnected = True
        self._wake()

    async def run(self, app: Application) -> None:
        """The application, whose errors end this exchange only."""
        try:
            await app(self._scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                raise RuntimeError("the application returned without completing its answer")
        except BaseException as error:  # as of any server: the next request may work
            logger.error("the application raised", exc_info=error)
            await self._fail()
        finally:
            if self.task is not None:
                self._connection.tasks.discard(self.task)
                self.task = None

    async def receive(self) -> Message:
        """The body as far as it has come, some tens of KiB at least; then the client's leaving."""
        connection = self._connection
        if self._expects_continue and not connection.transport.is_closing():
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects_continue = False
        if not self._has_news():
            connection.flow.resume_reading()
            self._waiter = connection.loop.create_future()
            await self._waiter
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        chunks, self._chunks, self._buffered = self._chunks, [], 0
        self._is_told = self._is_read
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return {"type": "http.request", "body": body, "more_body": not self._is_read}

    async def send(self, message: Message) -> None:
        """Raises: RuntimeError when it is not the message whose turn it is, or not well-formed."""
        connection = self._connection
        if connection.flow.write_paused and not self.disconnected:
            await connection.flow.drain()
        if self.disconnected:
            return
        if message["type"] != ("http.response.body" if self.is_begun else "http.response.start"):
            raise RuntimeError(f"{message['type']} is not what comes next")
        if not self.is_begun:
            self._begin(message["status"], message.get("headers", ()))
        elif self.response_complete:
            raise RuntimeError("the answer is complete already")
        else:
            self._write(message.get("body", b""), more=message.get("more_body", False))

    def _has_news(self) -> bool:
        if self.disconnected or self.response_complete:
            return True
        return (self._is_read and not self._is_told) or self._buffered > HIGH_WATER_LIMIT

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _begin(self, status: int, headers: Any) -> None:
        """Make the head; nothing is written before the first of the body."""
        self.is_begun = True
        self._expects_continue = False
        lines = [STATUS_LINE[status]]
        framing: dict[bytes, bytes] = {}
        for name, value in self._connection.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        for name, value in headers:
            if name in _FRAMING:
                framing[name] = value
            lines += (name, b": ", value, b"\r\n")
        if framing.keys() != {b"content-length"} or not self.keep_alive:
            self._frame(status, framing, lines)
        else:
            self._to_send = int(framing[b"content-length"])
        lines.append(b"\r\n")
        head = b"".join(lines)
        ends = 1 + (len(lines) - 2) // 4 + 1
        if head.count(b"\n") != ends or head.count(b"\r") != ends or b"\0" in head:
            raise RuntimeError("a header of the answer holds a line break")
        self._head = head

    def _frame(self, status: int, framing: dict[bytes, bytes], lines: list[bytes]) -> None:
        """How the end of the body is told, and of the connection (RFC 9112, section 6)."""
        if b"close" in framing.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            lines += (b"connection", b": ", b"close", b"\r\n")
        length = framing.get(b"content-length")
        if framing.get(b"transfer-encoding", b"").lower() == b"chunked":
            self._is_chunked = True
        elif length is not None:
            self._to_send = int(length)
        elif status not in _WITHOUT_BODY and self._scope["method"] != "HEAD":
            self._is_chunked = True
            lines += (b"transfer-encoding", b": ", b"chunked", b"\r\n")

    def _write(self, body: bytes, *, more: bool) -> None:
        is_whole = self._head is not None and not more and self.keep_alive
        parts = [] if self._head is None else [self._head]
        if self._scope["method"] == "HEAD":
            self._to_send = 0
        elif self._is_chunked:
            parts += (b"%x\r\n" % len(body), body, b"\r\n") if body else ()
            parts += () if more else (b"0\r\n\r\n",)
        else:
            self._to_send -= len(body)
            if self._to_send < 0 or (self._to_send and not more):
                raise RuntimeError("the answer has not as many bytes as its content-length says")
            parts.append(body)
        self._head, self._has_left = None, True
        connection = self._connection
        if is_whole and len(connection.tasks) > 1:  # others are at work: theirs leave with it
            connection.outbox.put(connection.transport, b"".join(parts))
        else:
            connection.write(b"".join(parts))
        if not more:
            self.response_complete = True
            self._wake()
            if not self.keep_alive:
                connection.transport.close()
            connection.on_response_complete()

    async def _fail(self) -> None:
        """A plain 500 if no byte of an answer has left yet; else the connection ends."""
        if self._has_left:
            self._connection.outbox.flush()
            self._connection.transport.close()
            return
        self.is_begun, self._head, self._is_chunked, self._to_send = False, None, False, 0
        await self.send(_FAILED)
        await self.send({"type": "http.response.body", "body": _FAILURE})
