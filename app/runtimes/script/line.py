"""One process of a script on the event loop: answers come in the order of the requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from app.runtimes.script.child import GRACE_S, Child, Ended
from app.runtimes.script.stream import Stream
from app.runtimes.script.told import BROKEN, More, Told
from app.script.channel import Incoming, parts

logger = logging.getLogger(__name__)

Answer = tuple[Told, bytes | Stream]


class Asked:
    """One request on its way to a process and back."""

    __slots__ = ("_begin", "answer", "began_at", "body", "head")

    def __init__(self, head: bytes, body: bytes, begin: Callable[[float], None]) -> None:
        """`begin` is called when a process has nothing else to do, with `time.perf_counter()`."""
        self.head = head
        self.body = body
        self.began_at: float | None = None
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._begin = begin

    @property
    def is_left(self) -> bool:
        """Nobody waits for it any more."""
        return self.answer.done()

    @property
    def unread(self) -> Stream | None:
        """A streamed answer that came at the moment its caller left, whose process waits for it."""
        if not self.answer.done() or self.answer.cancelled() or self.answer.exception():
            return None
        _, body = self.answer.result()
        return body if isinstance(body, Stream) else None

    def begin(self) -> None:
        """It is the one that its process works on."""
        self.began_at = time.perf_counter()
        if not self.is_left:
            self._begin(self.began_at)

    def settle(self, answer: Answer) -> None:
        """It has come."""
        if not self.is_left:
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """None will come."""
        if not self.is_left:
            self.answer.set_exception(error)


class Line(asyncio.Protocol):
    """Of one process, or of none; used on the event loop."""

    def __init__(
        self,
        child: Child,
        timeout_s: float,
        freed: Callable[[Line, float], None],
        lost: Callable[[Line], None],
    ) -> None:
        """
        Args:
            timeout_s: what an answer, and each part of a streamed one, may take.
            freed: called when an answer is whole, with what it took in seconds.
            lost: called when the process answers no more.
        """
        self.child = child
        self.is_open = False
        self.is_changing = False
        """It is being opened, or its process ended."""
        self._timeout_s = timeout_s
        self._freed = freed
        self._lost = lost
        self._asked: deque[Asked] = deque()
        self._stream: Stream | None = None
        self._incoming = Incoming()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()

    @property
    def inside(self) -> int:
        """Requests that it has not answered whole."""
        return len(self._asked) + (self._stream is not None)

    async def open(self) -> None:
        """From now on it is asked here. Raises: OSError."""
        self._incoming = Incoming()
        self._closed = asyncio.Event()
        loop = asyncio.get_running_loop()
        connection = self.child.connection()
        connection.setblocking(False)
        transport, _ = await loop.create_unix_connection(lambda: self, sock=connection)
        self._transport = transport
        self.is_open = True

    def send(self, asked: Asked) -> None:
        """One more request."""
        assert self._transport is not None
        is_first = not self.inside
        self._asked.append(asked)
        self._transport.writelines(parts(asked.head, asked.body))
        if is_first:
            self._begin(asked)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._incoming.feed(data)
        try:
            while self.is_open and (message := self._incoming.take()) is not None:
                self._take(*message)
        except ValueError:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._lost(self)

    def close(self) -> None:
        """It is not believed any more: its process is to be ended."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def empty(self, how: str) -> list[Asked]:
        """The process has ended, as `how` says: what it had begun fails. Those it had not."""
        if self._stream is not None:
            self._stream.end(Ended(how))
            self._stream = None
        rest = []
        for asked in self._asked:
            if asked.began_at is None:
                rest.append(asked)
            else:
                asked.fail(Ended(how))
        self._asked.clear()
        self._closed.set()
        return rest

    def _take(self, head: bytes, body: bytes) -> None:
        """A message. Raises: ValueError: nobody waits for it, or it is none."""
        if self._stream is not None:
            self._go_on(self._stream, More.of(head), body)
            return
        told = Told.of(head)
        if not self._asked:
            raise ValueError("an answer that nobody waits for")
        asked = self._asked.popleft()
        if not told.is_streamed:
            asked.settle((told, body))
            self._next(asked)
            return
        if asked.is_left:
            self.close()
            return
        self._stream = Stream(self._timeout_s, self._pace, self._leave)
        asked.settle((told, self._stream))

    def _go_on(self, stream: Stream, more: More, body: bytes) -> None:
        if more.is_there:
            stream.feed(body)
            return
        if more.error:
            logger.error("%s: %s\n%s", self.child.label, BROKEN, more.error)
        stream.end(Ended(BROKEN) if more.error else None)
        self._stream = None
        self._pace(True)
        self._next(None)

    def _next(self, answered: Asked | None) -> None:
        spent_s = 0.0
        if answered is not None and answered.began_at is not None:
            spent_s = time.perf_counter() - answered.began_at
        if self._asked:
            self._begin(self._asked[0])
        self._freed(self, spent_s)

    def _begin(self, asked: Asked) -> None:
        asked.begin()
        if self._timer is None:
            self._watch(self._timeout_s + GRACE_S)

    def _watch(self, after_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(after_s, self._look)

    def _look(self) -> None:
        """Whether the first one takes too long: one timer for many requests."""
        self._timer = None
        if not self._asked or self._asked[0].began_at is None:
            return
        left_s = self._asked[0].began_at + self._timeout_s + GRACE_S - time.perf_counter()
        if left_s > 0:
            self._watch(left_s)
        else:
            self._asked.popleft().fail(TimeoutError())
            self.close()

    def _pace(self, may_come: bool) -> None:
        """Of the parts of a stream."""
        if self._transport is not None and self.is_open:
            if may_come:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    async def _leave(self) -> None:
        """Nobody reads the stream on."""
        self.close()
        await self._closed.wait()
