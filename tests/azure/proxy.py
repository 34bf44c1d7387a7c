"""A small TCP proxy: a way to a stand-in that is long, narrow, or ends half way."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

_PIECE_BYTES = 64 * 1024
_Waiting = asyncio.Queue[tuple[float, bytes]]
"""Pieces, and when each may leave, by the loop's clock; an empty one is the end."""


class Proxy:
    """Listens on loopback at `port` while its context is open, and hands on to `target`.

    Attributes:
        round_trip_s: added to each way there and back.
        rate: bytes a second, of one connection, coming back; 0 is no limit.
        cut_after: bytes coming back on one connection, after which it is cut off; 0 is never.
        hang_after: as `cut_after`, but nothing more comes, and nothing ends.
        refuses: new connections are closed at once.
        connections: how many there have been.
        returned_bytes: that came back, on all of them.
    """

    def __init__(self, target: int, *, round_trip_s: float = 0, rate: float = 0) -> None:
        self.round_trip_s = round_trip_s
        self.rate = rate
        self.cut_after = self.hang_after = 0
        self.refuses = False
        self.connections = self.returned_bytes = 0
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_up = threading.Event()
        self._ending = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, it: BaseException | None, _: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=_PIECE_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        await self._ending.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        self.connections += 1
        away = None
        ways: list[asyncio.Future[None]] = []
        try:
            if self.refuses:
                return
            far, away = await asyncio.open_connection("127.0.0.1", self._target)
            ways.append(asyncio.ensure_future(self._carry(far, out, is_back=True)))
            ways.append(asyncio.ensure_future(self._carry(near, away, is_back=False)))
            await asyncio.wait(ways, return_when="FIRST_COMPLETED")
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for way in ways:
                way.cancel()
            for writer in (out, away):
                if writer is not None:
                    writer.transport.abort()

    async def _carry(
        self, near: asyncio.StreamReader, far: asyncio.StreamWriter, *, is_back: bool
    ) -> None:
        """Each piece leaves half a round trip after it came; what a rate allows, at that rate."""
        waiting: _Waiting = asyncio.Queue(64)
        reading = asyncio.ensure_future(self._read(near, waiting))
        free_at, carried = 0.0, 0
        try:
            while True:
                due, piece = await waiting.get()
                if is_back and self.rate:
                    due = free_at = max(free_at, due) + len(piece) / self.rate
                if (wait_s := due - self._loop.time()) > 0:
                    await asyncio.sleep(wait_s)
                carried += len(piece)
                if is_back and self.hang_after and carried > self.hang_after:
                    await self._ending.wait()
                if not piece or (is_back and self.cut_after and carried > self.cut_after):
                    return
                self.returned_bytes += len(piece) if is_back else 0
                far.write(piece)
                await far.drain()
        except OSError:
            return
        finally:
            reading.cancel()

    async def _read(self, near: asyncio.StreamReader, waiting: _Waiting) -> None:
        piece = b"-"
        while piece:
            try:
                piece = await near.read(_PIECE_BYTES)
            except OSError:
                piece = b""
            await waiting.put((self._loop.time() + self.round_trip_s / 2, piece))
