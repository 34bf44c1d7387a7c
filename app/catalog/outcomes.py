"""Whether a version that has just taken over fails more often than the one before it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app.telemetry import Trace
from app.tensors import ModelRef

logger = logging.getLogger(__name__)

LEAST_FAILURES: Final = 5
"""Fewer tell nothing of a rate."""
LOOK_S: Final = 1.0
_MODEL_FAILED: Final = "model-failed"
"""The code of what counts: the model's own code raised. Not what a client did wrong, nor drift."""


@dataclass(slots=True)
class Outcome:
    """How the requests of one version ended."""

    requests: int = 0
    failures: int = 0

    @property
    def rate(self) -> float:
        """Failures among them."""
        return self.failures / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class _Watch:
    before: ModelRef
    until: float
    """`time.monotonic()` seconds."""
    step_back: Callable[[ModelRef, str], None]
    done: Callable[[ModelRef], None]


class Outcomes:
    """An exporter that watches each version for a while after it took over."""

    def __init__(self, margin: float, window_s: float, *, look_s: float = LOOK_S) -> None:
        """A failure rate above that of the version before by `margin` is too much."""
        self._look_s = look_s
        self._margin = margin
        self._window_s = window_s
        self._by_ref: dict[ModelRef, Outcome] = {}
        self._watches: dict[ModelRef, _Watch] = {}

    def watch(
        self,
        ref: ModelRef,
        before: ModelRef,
        step_back: Callable[[ModelRef, str], None],
        done: Callable[[ModelRef], None],
    ) -> None:
        """`ref` has taken over from `before`.

        Args:
            step_back: told `before` and why, if it is to answer again.
            done: told `before` when it is not needed any more.
        """
        self._by_ref[ref] = Outcome()
        until = time.monotonic() + self._window_s
        self._watches[ref] = _Watch(before, until, step_back, done)

    def record(self, trace: Trace) -> None:
        """See `telemetry.Exporter`."""
        ref = trace.ref
        if ref is None:
            return
        outcome = self._by_ref.get(ref)
        if outcome is None:
            outcome = self._by_ref[ref] = Outcome()
        outcome.requests += 1
        if trace.code == _MODEL_FAILED:
            outcome.failures += 1
            if ref in self._watches:
                self._judge(ref, outcome)

    async def keep(self) -> None:
        """Let go of what was watched for long enough, until this is cancelled."""
        while True:
            await asyncio.sleep(self._look_s)
            self.end_old()

    def end_old(self) -> None:
        """Let go of what was watched for long enough."""
        now = time.monotonic()
        for ref, watch in list(self._watches.items()):
            if now >= watch.until:
                del self._watches[ref]
                self._by_ref.pop(watch.before, None)
                watch.done(watch.before)

    def _judge(self, ref: ModelRef, outcome: Outcome) -> None:
        watch = self._watches[ref]
        if time.monotonic() >= watch.until or outcome.failures < LEAST_FAILURES:
            return
        before = self._by_ref.get(watch.before, Outcome())
        if outcome.rate <= before.rate + self._margin:
            return
        del self._watches[ref]
        reason = (
            f"{outcome.failures} of its first {outcome.requests} requests failed "
            f"({outcome.rate:.1%}), of version {watch.before.version} {before.rate:.1%}"
        )
        logger.warning("%s steps back to version %s: %s", ref, watch.before.version, reason)
        watch.step_back(watch.before, reason)
