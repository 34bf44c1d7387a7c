"""All processes of a script: who is asked next, and who comes in place of one that has ended."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from app.runtimes.script.child import Child, Ended, Unfit
from app.runtimes.script.line import Answer, Asked, Line
from app.runtimes.script.told import Told, head_of
from app.tensors import RawRequest

_QUICK_S: Final = 0.005
"""Where `run` takes no longer, the next request is sent ahead, so that the process need not wait
for it. Of one alone: with several it might lie behind a long call while another one is free."""


class NotStarted(Exception):
    """A process that had ended cannot be begun again; the text says why."""


class Crew:
    """Asked by threads (`ask`) until the event loop asks (`answer`), and then by that alone."""

    def __init__(self, start: Callable[[], Child], processes: int, timeout_s: float) -> None:
        """Raises: as `Child`."""
        self._start = start
        self._timeout_s = timeout_s
        self._lines: list[Line] = []
        self._waiting: deque[Asked] = deque()
        self._run_s = _QUICK_S
        self._asking = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False
        try:
            for _ in range(processes):
                self._lines.append(Line(start(), timeout_s, self._freed, self._lost))
        except BaseException:
            self.close()
            raise

    @property
    def children(self) -> list[Child]:
        """Its processes."""
        return [line.child for line in self._lines]

    def ask(self, request: RawRequest) -> tuple[Told, bytes]:
        """Blocking, one after the other.

        Raises:
            Ended: the process has, in the middle of it.
            TimeoutError: it took too long; its process was ended.
            NotStarted: it had ended before.
        """
        with self._asking:
            if self._loop is None:
                line = self._lines[0]
                if line.child.has_ended:
                    self._begin_anew(line)
                return line.child.ask(request, self._timeout_s)
        return asyncio.run_coroutine_threadsafe(self._whole(request), self._loop).result()

    async def answer(self, request: RawRequest, began: Callable[[float], None]) -> Answer:
        """On the event loop; `began` is called when a process works on it. Raises: as `ask`."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            for line in self._lines:
                self._bring(line)
        asked = Asked(head_of(request, self._timeout_s), request.body, began)
        self._waiting.append(asked)
        self._pump()
        try:
            return await asked.answer
        except asyncio.CancelledError:
            if asked.unread is not None:
                self._go(asked.unread.aclose())
            raise
        finally:
            if asked.began_at is None and asked in self._waiting:
                self._waiting.remove(asked)

    def close(self) -> None:
        """End all of them, from any thread; never blocks."""
        self._is_closed = True
        for child in self.children:
            child.kill()

    async def _whole(self, request: RawRequest) -> tuple[Told, bytes]:
        told, body = await self.answer(request, lambda _: None)
        if not isinstance(body, bytes):
            body = b"".join([part async for part in body])
        return told, body

    def _pump(self) -> None:
        """Send what waits, as far as a process takes it."""
        while self._waiting:
            line = min(filter(self._takes, self._lines), key=_inside, default=None)
            if line is None or line.inside:
                self._bring_more()
            if line is None:
                return
            asked = self._waiting.popleft()
            if not asked.is_left:
                line.send(asked)

    def _takes(self, line: Line) -> bool:
        is_ahead = len(self._lines) == 1 and self._run_s < _QUICK_S
        return line.is_open and line.inside < (2 if is_ahead else 1)

    def _freed(self, line: Line, spent_s: float) -> None:
        self._run_s += (spent_s - self._run_s) / 8
        self._pump()

    def _bring_more(self) -> None:
        for line in self._lines:
            if not (line.is_open or line.is_changing):
                self._bring(line)

    def _bring(self, line: Line) -> None:
        line.is_changing = True
        self._go(self._opened(line))

    def _lost(self, line: Line) -> None:
        line.is_changing = True
        self._go(self._buried(line))

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _opened(self, line: Line) -> None:
        """Asked here from now on, by a process that is there."""
        try:
            await asyncio.to_thread(self._prepare, line)
            await line.open()
        except (NotStarted, OSError) as error:
            line.is_changing = False
            if not any(other.is_open or other.is_changing for other in self._lines):
                self._refuse(error)
            return
        line.is_changing = False
        self._pump()

    def _prepare(self, line: Line) -> None:
        """Blocking: no thread is in the middle of asking, and the process is there."""
        with self._asking:
            if line.child.has_ended:
                self._begin_anew(line)

    def _begin_anew(self, line: Line) -> None:
        """Raises: NotStarted."""
        line.child.end()  # what it has started may still be there
        try:
            line.child = self._start()
        except (Unfit, Ended) as error:
            raise NotStarted(str(error)) from error
        if self._is_closed:
            line.child.kill()

    async def _buried(self, line: Line) -> None:
        """What a process had not begun goes to another one."""
        how = await asyncio.to_thread(line.child.end)
        self._waiting.extendleft(reversed(line.empty(how)))
        line.is_changing = False
        if not self._is_closed:
            self._pump()

    def _refuse(self, error: Exception) -> None:
        """All that waits: no process is there."""
        while self._waiting:
            self._waiting.popleft().fail(NotStarted(str(error)))


def _inside(line: Line) -> int:
    return line.inside
