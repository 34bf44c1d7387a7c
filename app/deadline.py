"""The time that a request may take."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, Final, TypeVar

from app.errors import DeadlineExceeded, ModelLoading, ServingError
from app.telemetry import Trace

Result = TypeVar("Result")

_LOADING_RETRY_S: Final = 5


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

    def left_s(self) -> float:
        """Until it passes; below 0 afterwards."""
        return self._timeout_s - self._trace.age_s()

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
        result: Result
        try:
            waited_for = work.send(None)
        except StopIteration as done:
            result = done.value
            return result
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
            result = done.value
            return result
        except BaseException as error:
            if self._end() and isinstance(error, asyncio.CancelledError):
                raise self._missed() from None
            raise

    def _set_timer(self) -> None:
        if self._handle is None:
            task = asyncio.current_task()
            assert task is not None
            self._task, self._cancels = task, task.cancelling()
        self._handle = asyncio.get_running_loop().call_later(max(0.0, self.left_s()), self._pass)

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
