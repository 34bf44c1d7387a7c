"""One HTTP/1.1 connection, where uvicorn's own falls short of what clients send."""

from __future__ import annotations

import logging
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers; more is refused as soon as it has come."""
_LINGER_S: Final = 2
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 43\r\nconnection: close\r\n\r\n"
    b"the head of the request is larger than 64Ki"
)


class Connection(HttpToolsProtocol):
    """Bounds the head of a request, and reads the body of one that offers an upgrade.

    uvicorn holds a head of any size in memory, and drops such a body; Java's client offers HTTP/2
    with every first request.
    """

    _head_bytes = 0
    _is_in_head = False
    _is_refused = False
    _head_again: bytes | None = None

    def on_message_begin(self) -> None:
        """Called by the parser at the first byte of a request."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Called by the parser at the empty line."""
        self._is_in_head = False
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._head_again = self._without_upgrade()
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self._head_again is None:
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
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
            self.transport.write(_TOO_LARGE)
            self.transport.write_eof()
            # what the client still sends is read and dropped, or it would not see the answer
            self.loop.call_later(_LINGER_S, self.transport.close)
