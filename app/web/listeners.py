"""The addresses that a server listens on, and how many connections each worker has of them.

Light: a supervisor has this and no server.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
from collections.abc import Sequence
from typing import Final

_BACKLOG: Final = 2048
_ABSENT: Final = -1
_COUNT_BYTES: Final = 4


def listen(host: str, port: int) -> list[socket.socket]:
    """A socket on each address of `host`; who connects now waits until the server runs.

    Raises:
        OSError: an address is in use or not ours, or the name is unknown.
    """
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    flags = socket.AI_PASSIVE
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        taken = sockets[0].getsockname()[1] if sockets and port == 0 else port
        try:
            sockets.append(_bound(family, kind, protocol, (address[0], taken, *address[2:])))
        except OSError as error:
            # `localhost` may stand for ::1 where there is no IPv6
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                _close(sockets)
                raise
            refused = error
    if refused is not None and not sockets:
        raise refused
    return sockets


def _bound(family: int, kind: int, protocol: int, address: Sequence[object]) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(tuple(address))
        listener.listen(_BACKLOG)  # two that are bound may share an address, two listeners not
    except OSError:
        listener.close()
        raise
    return listener


def _close(sockets: Sequence[socket.socket]) -> None:
    for listener in sockets:
        listener.close()


class Shares:
    """How many connections each worker has open: memory that supervisor and workers share."""

    def __init__(self, fd: int) -> None:
        """`fd`: as `Shares.fd` of whoever made it."""
        self.fd = fd
        self._counts = memoryview(mmap.mmap(fd, 0)).cast("i")

    @classmethod
    def of(cls, workers: int) -> Shares:
        """New ones, of workers that are all absent."""
        fd = os.memfd_create("connections")
        os.ftruncate(fd, workers * _COUNT_BYTES)
        shares = cls(fd)
        for worker in range(workers):
            shares.leave(worker)
        return shares

    def tell(self, worker: int, connections: int) -> None:
        """That `worker` is there and has so many."""
        self._counts[worker] = connections

    def leave(self, worker: int) -> None:
        """That `worker` takes no connections."""
        self._counts[worker] = _ABSENT

    def has(self, worker: int) -> bool:
        """Whether `worker` takes connections."""
        return self._counts[worker] != _ABSENT

    def least(self) -> int:
        """Of those that take any; 0 when none does."""
        return min((count for count in self._counts if count != _ABSENT), default=0)
