"""The shadow of a version is asked the same after each answer, and compared."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, Literal

import orjson

from app.batching import Predicted
from app.differences import differences
from app.observers import Seen
from app.pool import Loaded
from app.schema.results import plain, results
from app.tensors import Call, Prediction, Reply

logger = logging.getLogger(__name__)

TOLERANCE: Final = 1e-6
"""Relative or absolute difference between numbers that still agree, whichever is looser."""
_MOST: Final = 8
"""Comparisons that wait or run; what comes beyond is not compared."""

Outcome = Literal["agrees", "differs", "failed", "skipped"]


class Shadows:
    """Those of one process. Lives on one loop; nobody waits for it."""

    def __init__(self, shadow_of: Callable[[str], Loaded | None]) -> None:
        """`shadow_of`: the shadow of a name, if it has one that is in memory."""
        self._shadow_of = shadow_of
        self.counts: Counter[tuple[str, str, str, Outcome]] = Counter()
        """By name, version, its shadow's version, and what came of it."""
        self._running: set[asyncio.Task[None]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow")  # of no answer's threads

    def tell(self, seen: Seen) -> None:
        """See `Observer`; begins to ask the shadow the same."""
        loaded = seen.loaded
        shadow = self._shadow_of(loaded.ref.name)
        if shadow is None or shadow is loaded:
            return
        if len(self._running) >= _MOST:
            self._count(loaded, shadow, "skipped")
            return
        task = asyncio.create_task(self._compare(seen.call, seen.predicted, loaded, shadow))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def close(self) -> None:
        """End what runs."""
        for task in self._running:
            task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _compare(
        self, call: Call, predicted: Predicted, loaded: Loaded, shadow: Loaded
    ) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, _found, call, predicted, loaded, shadow)
        self._count(loaded, shadow, found)

    def _count(self, loaded: Loaded, shadow: Loaded, outcome: Outcome) -> None:
        self.counts[loaded.ref.name, loaded.ref.version, shadow.ref.version, outcome] += 1


def _shown(prediction: Prediction, call: Call, loaded: Loaded) -> Any:
    """As a client would read it."""
    if loaded.schema.signature.kind == "raw":
        reply: Reply = prediction["reply"]
        body = reply.body if isinstance(reply.body, bytes) else b""
        with suppress(orjson.JSONDecodeError):
            return [reply.status, orjson.loads(body)]
        return [reply.status, body.decode("latin-1")]
    return plain(results(prediction, call, loaded.schema.signature))


def _takes_the_same(loaded: Loaded, shadow: Loaded) -> bool:
    """What was decoded for one is right for the other."""

    def of(model: Loaded) -> tuple[str, list[tuple[str, str, tuple[int | None, ...]]]]:
        signature = model.schema.signature
        return signature.kind, sorted((s.name, s.dtype, s.shape) for s in signature.inputs)

    return of(loaded) == of(shadow)


def _found(call: Call, predicted: Predicted, loaded: Loaded, shadow: Loaded) -> Outcome:
    """What comes of asking `shadow` the same, as the answers would show it. In its thread."""
    if not _takes_the_same(loaded, shadow):
        return "failed"
    try:
        prediction = shadow.model.predict(call.batch, shadow.schema.wanted(call))
        theirs = _shown(prediction, call, shadow)
    except BaseException as error:  # noqa: BLE001  # a model may raise anything
        logger.debug("%s raised as a shadow: %s", shadow.ref, type(error).__name__)
        return "failed"
    ours = _shown(predicted.prediction, call, loaded)
    return "agrees" if next(differences(theirs, ours, TOLERANCE), None) is None else "differs"
