"""Takes connections from listeners that several workers share, so that each has as many."""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
from collections.abc import Callable, Collection, Sequence
from typing import Final

from app.web.listeners import Shares

logger = logging.getLogger(__name__)

_LEAVE_S: Final = 0.001
"""For so long a connection is left to others, and again while they have fewer."""
_MOST_LEFT: Final = 10
_HURRY_S: Final = 0.1
"""For so long none is left to others who did not take one that was."""
_PAUSE_S: Final = 1.0
_OUT_OF_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Leaves a new connection to whoever has fewer, unless they do not take it.

    The kernel wakes all who wait at a listener. To listeners of their own (SO_REUSEPORT) it would
    deal connections by a hash, as evenly as coins fall, and those that wait for a worker that dies
    would be lost.
    """

    def __init__(self, listeners: Sequence[socket.socket], shares: Shares, worker: int) -> None:
        self._listeners = listeners
        self._shares = shares
        self._worker = worker
        self._hurries_until = 0.0
        self._opening: dict[asyncio.Protocol, asyncio.Task[None]] = {}
        self._is_stopped = False

    def start(
        self, connect: Callable[[], asyncio.Protocol], connections: Collection[object]
    ) -> None:
        """Take connections from now on; `connections` are those open."""
        self._connect, self._connections = connect, connections
        for listener in self._listeners:
            listener.setblocking(False)
            self._await(listener)
        self.tell()

    async def stop(self) -> None:
        """Take no more; those that were taken are open then."""
        self._is_stopped = True
        self._shares.leave(self._worker)
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        await asyncio.gather(*self._opening.values())

    def tell(self) -> None:
        """The others learn how many are open: also to be called now and then, for some close."""
        self._shares.tell(self._worker, self._count())

    def _count(self) -> int:
        opening = sum(protocol not in self._connections for protocol in self._opening)
        return len(self._connections) + opening

    def _await(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listener, self._offer, listener, 0)

    def _await_again(self, listener: socket.socket, left: int) -> None:
        if not self._is_stopped:
            self._await(listener)
            waiting = select.poll()
            waiting.register(listener, select.POLLIN)
            if waiting.poll(0):
                self._offer(listener, left)

    def _offer(self, listener: socket.socket, left: int) -> None:
        """A connection waits, and was left to others so many times."""
        loop = asyncio.get_running_loop()
        self.tell()
        ours, least = self._count(), self._shares.least()
        if ours > least + least // 8 and loop.time() >= self._hurries_until:
            if left < _MOST_LEFT:
                loop.remove_reader(listener)
                loop.call_later(_LEAVE_S, self._await_again, listener, left + 1)
                return
            self._hurries_until = loop.time() + _HURRY_S
        self._take(listener)

    def _take(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another was faster, or the client has left
        except OSError as error:
            self._pause(listener, error)
            return
        protocol = self._connect()
        opening = self._open(protocol, connection)
        self._opening[protocol] = asyncio.get_running_loop().create_task(opening)
        self.tell()

    async def _open(self, protocol: asyncio.Protocol, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError:  # the client has left
            connection.close()
        finally:
            del self._opening[protocol]

    def _pause(self, listener: socket.socket, error: OSError) -> None:
        """As asyncio does: until some connections have gone."""
        if error.errno not in _OUT_OF_ROOM:
            raise error
        logger.error("no connection can be taken: %s", error.strerror)
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(_PAUSE_S, self._await_again, listener, 0)
