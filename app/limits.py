"""Who gets in, with how much, for how long: requests in flight, bytes of bodies, deadlines."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from types import TracebackType, coroutine
from typing import Any, Final, TypeVar, cast

from app.errors import (
    BodyTooLarge,
    ClientLeft,
    DeadlineExceeded,
    ModelLoading,
    Overloaded,
    ServingError,
    TooManyRequests,
)
from app.telemetry import Trace

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""ASGI's receive callable (ASGI 3.0, HTTP)."""

Result = TypeVar("Result")

_LOADING_RETRY_S: Final = 5


class Limits:
    """The budgets of one process."""

    def __init__(
        self,
        *,
        max_in_flight: int,
        client_max_in_flight: int | None,
        body_memory_bytes: int,
        max_body_bytes: int,
    ) -> None:
        self._max_in_flight = max_in_flight
        self._client_max_in_flight = client_max_in_flight
        self._body_memory_bytes = body_memory_bytes
        self._max_body_bytes = max_body_bytes
        self._of_caller: Counter[str] = Counter()
        self.in_flight = 0
        self.body_bytes = 0
        self.shed = 0
        """Requests refused for overload since the start."""

    def admit(self, caller: str | None) -> Slot:
        """A place inside, taken at once and given back when its `with` block ends.

        Raises:
            Overloaded: as many requests are inside as may be.
            TooManyRequests: as many of this caller's.
        """
        if self.in_flight >= self._max_in_flight:
            self.shed += 1
            raise Overloaded(
                f"{self._max_in_flight} requests are in flight, as many as are taken at once",
                retry_after_s=1,
            )
        most = self._client_max_in_flight
        if caller is not None and most is not None and self._of_caller[caller] >= most:
            raise TooManyRequests(
                f"{most} of your requests are in flight, as many as you may have", retry_after_s=1
            )
        self.in_flight += 1
        if caller is not None:
            self._of_caller[caller] += 1
        return Slot(self, caller)

    def leave(self, caller: str | None, body_bytes: int) -> None:
        """Count one request, and the bytes of its body, out."""
        self.in_flight -= 1
        self.body_bytes -= body_bytes
        if caller is not None:
            self._of_caller[caller] -= 1
            if not self._of_caller[caller]:
                del self._of_caller[caller]

    def hold(self, size_bytes: int, body_bytes: int) -> None:
        """Count `size_bytes` more of a body that has then `body_bytes`.

        Raises:
            BodyTooLarge: one body over its limit.
            Overloaded: all bodies over theirs.
        """
        if body_bytes > self._max_body_bytes:
            raise BodyTooLarge(f"the body is larger than {self._max_body_bytes} bytes")
        if self.body_bytes + size_bytes > self._body_memory_bytes:
            self.shed += 1
            raise Overloaded(
                f"bodies take all of the {self._body_memory_bytes} bytes they may", retry_after_s=1
            )
        self.body_bytes += size_bytes


class Slot:
    """One request inside."""

    __slots__ = ("_body_bytes", "_caller", "_limits")

    def __init__(self, limits: Limits, caller: str | None) -> None:
        self._limits = limits
        self._caller = caller
        self._body_bytes = 0

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._limits.leave(self._caller, self._body_bytes)

    async def read(self, receive: Receive, content_length: int | None) -> bytes:
        """The body, counted as it comes; refused before it comes when its length is told.

        Raises:
            BodyTooLarge, Overloaded: as `Limits.hold`.
            ClientLeft: before its body had come.
        """
        if content_length is not None:
            self._hold(content_length)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft("the client left before its body had come")
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > self._body_bytes:
                self._hold(size - self._body_bytes)
            is_last = not message.get("more_body", False)
            if is_last and not chunks:
                return chunk
            chunks.append(chunk)
            if is_last:
                return b"".join(chunks)

    def _hold(self, size_bytes: int) -> None:
        self._limits.hold(size_bytes, self._body_bytes + size_bytes)
        self._body_bytes += size_bytes


class Deadline:
    """Ends what it bounds when the time is up: `asyncio.timeout`, but its timer is only set when
    something is waited for, which most requests never do."""

    __slots__ = ("_cancels", "_handle", "_has_passed", "_task", "_timeout_s", "_trace")

    def __init__(self, timeout_s: float, trace: Trace) -> None:
        """`timeout_s` after the begin of `trace`, whose phase says what was waited for."""
        self._timeout_s = timeout_s
        self._trace = trace
        self._has_passed = False
        self._handle: asyncio.TimerHandle | None = None

    def lower(self, timeout_s: float | None) -> None:
        """It is `timeout_s` after its begin, if that is sooner."""
        if timeout_s is not None and timeout_s < self._timeout_s:
            self._timeout_s = timeout_s
            if self._handle is not None:
                self._handle.cancel()
                self._set_timer()

    @coroutine
    def bound(self, work: Coroutine[Any, Any, Result]) -> Generator[Any, Any, Result]:
        """What `work` gives; called once.

        Raises:
            ModelLoading, DeadlineExceeded: the time was up before.
        """
        try:
            waited_for = work.send(None)
        except StopIteration as done:
            return cast(Result, done.value)
        self._set_timer()
        try:
            while True:  # what `yield from` does (PEP 380), but that begins at the beginning
                try:
                    given = yield waited_for
                except BaseException as error:  # noqa: BLE001  # into `work`, whose it is
                    waited_for = work.throw(error)
                else:
                    waited_for = work.send(given)
        except StopIteration as done:
            self._end()
            return cast(Result, done.value)
        except BaseException as error:
            if self._end() and isinstance(error, asyncio.CancelledError):
                raise self._missed() from None
            raise

    def _set_timer(self) -> None:
        if self._handle is None:
            task = asyncio.current_task()
            assert task is not None
            self._task, self._cancels = task, task.cancelling()
        left_s = self._timeout_s - self._trace.age_s()
        self._handle = asyncio.get_running_loop().call_later(max(0.0, left_s), self._pass)

    def _end(self) -> bool:
        """Whether it has passed, and nobody else has cancelled the task (asyncio.Task.uncancel)."""
        if self._handle is not None:
            self._handle.cancel()
        return self._has_passed and self._task.uncancel() <= self._cancels

    def _pass(self) -> None:
        self._has_passed = True
        self._task.cancel()

    def _missed(self) -> ServingError:
        within = f"within {self._timeout_s:g} s"
        match self._trace.phase:
            case "model":
                return ModelLoading(
                    f"the model was not loaded {within}", retry_after_s=_LOADING_RETRY_S
                )
            case "admit":
                return DeadlineExceeded(f"the body did not arrive {within}")
            case phase:
                return DeadlineExceeded(f"the answer was not ready {within} (phase: {phase})")
