"""Messages between the service and the process of a script: a head in JSON, and bytes as they are.

The service believes nothing that comes from there: heads are read as JSON, and nothing else is.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

_SIZES: Final = struct.Struct(">IQ")
"""Bytes of the head, bytes of the body."""
_CHUNK_BYTES: Final = 64 * 1024
_LARGE_CHUNK_BYTES: Final = 1024**2
_MOST_HEAD_BYTES: Final = 16 * 1024**2
_SMALL_BYTES: Final = 64 * 1024

Message = tuple[bytes, bytes]
"""Head and body."""


class Closed(Exception):
    """The other side has gone."""


class Incoming:
    """Bytes as they come in, until messages are whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._missing = _SIZES.size
        """Bytes until more is known."""

    @property
    def missing_bytes(self) -> int:
        """At least so many until a message is whole."""
        return self._missing - len(self._buffer)

    def feed(self, data: bytes) -> None:
        """What has come."""
        self._buffer += data

    def take(self) -> Message | None:
        """The next message, once it is whole. Raises: ValueError: it is nonsense."""
        buffer = self._buffer
        if len(buffer) < self._missing:
            return None
        head_bytes, body_bytes = _SIZES.unpack_from(buffer)
        if head_bytes > _MOST_HEAD_BYTES:
            raise ValueError(f"a head of {head_bytes} bytes")
        head_end = _SIZES.size + head_bytes
        end = head_end + body_bytes
        if len(buffer) < end:
            self._missing = end
            return None
        with memoryview(buffer) as view:
            message = bytes(view[_SIZES.size : head_end]), bytes(view[head_end:end])
        del buffer[:end]
        self._missing = _SIZES.size
        return message


def parts(head: bytes, body: bytes = b"") -> tuple[bytes, ...]:
    """A message as bytes to send one after the other: one where that copies little."""
    prefix = _SIZES.pack(len(head), len(body)) + head
    return (prefix + body,) if len(body) <= _SMALL_BYTES else (prefix, body)


class Channel:
    """One end of a stream socket; used by one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._incoming = Incoming()

    def send(self, head: bytes, body: bytes = b"") -> None:
        """Raises: Closed: nobody reads any more. TimeoutError: as the socket is set."""
        try:
            for part in parts(head, body):
                self._connection.sendall(part)
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed from error

    def receive(self) -> Message:
        """The next message. Raises: as `send`; ValueError: the other side speaks nonsense."""
        while (message := self._incoming.take()) is None:
            self._incoming.feed(self._more())
        return message

    def set_timeout(self, seconds: float | None) -> None:
        """Of each following wait for the other side."""
        self._connection.settimeout(seconds)

    def connection(self) -> socket.socket:
        """Another end of the same stream, between two messages; for who goes on in its place."""
        return self._connection.dup()

    def close(self) -> None:
        """Let the other side know."""
        self._connection.close()

    def _more(self) -> bytes:
        try:
            is_much = self._incoming.missing_bytes > _CHUNK_BYTES
            found = self._connection.recv(_LARGE_CHUNK_BYTES if is_much else _CHUNK_BYTES)
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed from error
        if not found:
            raise Closed
        return found
