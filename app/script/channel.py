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
_MOST_HEAD_BYTES: Final = 16 * 1024**2
_SMALL_BYTES: Final = 64 * 1024


class Closed(Exception):
    """The other side has gone."""


class Channel:
    """One end of a stream socket; used by one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def send(self, head: bytes, body: bytes = b"") -> None:
        """Raises: Closed: nobody reads any more. TimeoutError: as the socket is set."""
        prefix = _SIZES.pack(len(head), len(body)) + head
        try:
            if len(body) <= _SMALL_BYTES:
                self._connection.sendall(prefix + body)
            else:
                self._connection.sendall(prefix)
                self._connection.sendall(body)
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed from error

    def receive(self) -> tuple[bytes, bytes]:
        """The next head and body. Raises: as `send`; ValueError: the other side speaks nonsense."""
        head_bytes, body_bytes = _SIZES.unpack(self._read(_SIZES.size))
        if head_bytes > _MOST_HEAD_BYTES:
            raise ValueError(f"a head of {head_bytes} bytes")
        return self._read(head_bytes), self._read(body_bytes)

    def set_timeout(self, seconds: float | None) -> None:
        """Of each following wait for the other side."""
        self._connection.settimeout(seconds)

    def close(self) -> None:
        """Let the other side know."""
        self._connection.close()

    def _read(self, size: int) -> bytes:
        if size > _SMALL_BYTES:
            return self._read_much(size)
        buffer = self._buffer
        while len(buffer) < size:
            buffer += self._more(_CHUNK_BYTES)
        found = bytes(buffer[:size])
        del buffer[:size]
        return found

    def _read_much(self, size: int) -> bytes:
        parts = [bytes(self._buffer[:size])]
        del self._buffer[:size]
        missing = size - len(parts[0])
        while missing:
            parts.append(self._more(min(missing, 16 * _CHUNK_BYTES)))
            missing -= len(parts[-1])
        return b"".join(parts)

    def _more(self, size: int) -> bytes:
        try:
            found = self._connection.recv(size)
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed from error
        if not found:
            raise Closed
        return found
