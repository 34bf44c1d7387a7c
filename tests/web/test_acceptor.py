"""Connections to a listener that several workers share; here on one loop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.web.acceptor import Acceptor
from app.web.listeners import Shares, listen
from tests.serving import until


class Open(asyncio.Protocol):
    """Counts itself among the connections of its worker."""

    def __init__(self, connections: set[Open]) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)


class Team:
    """Workers at one address, each with a copy of its listener as another process would have."""

    def __init__(self, workers: int) -> None:
        (self._listener,) = listen("127.0.0.1", 0)
        self.shares = Shares.of(workers)
        self.connections: list[set[Open]] = [set() for _ in range(workers)]
        self.acceptors = [
            Acceptor([self._listener.dup()], Shares(self.shares.fd), worker)
            for worker in range(workers)
        ]
        self.clients: list[socket.socket] = []

    def start(self, worker: int) -> None:
        connections = self.connections[worker]
        self.acceptors[worker].start(lambda: Open(connections), connections)

    async def stop(self, worker: int) -> None:
        await self.acceptors.pop(worker).stop()

    def connect(self, count: int) -> None:
        address = self._listener.getsockname()
        self.clients += [socket.create_connection(address, timeout=30) for _ in range(count)]

    def close(self) -> None:
        for each in (self._listener, *self.clients):
            each.close()
        for connection in set().union(*self.connections):
            connection.transport.close()

    def counts(self) -> list[int]:
        return [len(each) for each in self.connections]


@asynccontextmanager
async def team(workers: int, started: int) -> AsyncIterator[Team]:
    made = Team(workers)
    for worker in range(started):
        made.start(worker)
    try:
        yield made
    finally:
        while made.acceptors:
            await made.stop(0)
        made.close()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("workers", "count"), [(2, 16), (2, 64), (3, 7)])
async def test_each_worker_has_as_many_connections(workers: int, count: int) -> None:
    async with team(workers, workers) as made:
        made.connect(count)
        await until(lambda: sum(made.counts()) == count)
        counts = made.counts()

    assert max(counts) - min(counts) <= 1 + count // workers // 8


async def test_a_worker_that_has_lost_its_connections_gets_the_next() -> None:
    async with team(2, 2) as made:
        made.connect(8)
        await until(lambda: made.counts() == [4, 4])
        for each in made.connections[1]:
            each.transport.close()
        await until(lambda: made.counts() == [4, 0])
        made.acceptors[1].tell()
        made.connect(4)
        await until(lambda: sum(made.counts()) == 8)
        assert made.counts() == [4, 4]


async def test_what_a_stuck_worker_does_not_take_another_does() -> None:
    async with team(2, 1) as made:
        made.shares.tell(1, 0)  # there, but it does not come
        made.connect(8)
        await until(lambda: made.counts() == [8, 0])


async def test_a_worker_that_has_not_begun_or_has_ended_is_not_waited_for() -> None:
    async with team(2, 1) as made:
        loop = asyncio.get_running_loop()
        made.connect(50)
        began = loop.time()
        await until(lambda: made.counts() == [50, 0])
        assert [made.shares.has(0), made.shares.has(1)] == [True, False]
        await made.stop(0)
        assert not made.shares.has(0)
        assert loop.time() - began < 5


async def test_without_room_for_connections_it_waits_for_some(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.web.acceptor._PAUSE_S", 0.05)
    async with team(1, 1) as made:
        with monkeypatch.context() as full:
            full.setattr(socket.socket, "accept", _refused)
            made.connect(1)
            await until(lambda: "no connection can be taken: Too many open files" in caplog.text)
        await until(lambda: made.counts() == [1])


def _refused(_: socket.socket) -> None:
    raise OSError(errno.EMFILE, "Too many open files")
