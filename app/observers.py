"""Told of answers once they are made: the shadow of a version is asked the same, and compared."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal

from app.batching import Predicted
from app.differences import differences
from app.pool import Loaded
from app.schema.results import plain, results
from app.tensors import Call

logger = logging.getLogger(__name__)

TOLERANCE: Final = 1e-6
"""Relative or absolute difference between numbers that still agree, whichever is looser."""
_MOST: Final = 8
"""Comparisons that wait or run; what comes beyond is not compared."""

Outcome = Literal["agrees", "differs", "failed", "skipped"]


class Shadows:
    """Those of one process. Lives on one loop; nobody waits for it."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str, Outcome]] = Counter()
        """By name, version, its shadow's version, and what came of it."""
        self._running: set[asyncio.Task[None]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow")  # of no answer's threads

    def tell(self, call: Call, predicted: Predicted, loaded: Loaded, shadow: Loaded) -> None:
        """`loaded` has predicted so; begins to ask `shadow` the same, and returns at once."""
        if len(self._running) >= _MOST:
            self._count(loaded, shadow, "skipped")
            return
        task = asyncio.create_task(self._compare(call, predicted, loaded, shadow))
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


def _takes_the_same(loaded: Loaded, shadow: Loaded) -> bool:
    """What was decoded for one is right for the other."""

    def of(model: Loaded) -> list[tuple[str, str, tuple[int | None, ...]]]:
        inputs = model.schema.signature.inputs
        return sorted((spec.name, spec.dtype, spec.shape) for spec in inputs)

    return of(loaded) == of(shadow)


def _found(call: Call, predicted: Predicted, loaded: Loaded, shadow: Loaded) -> Outcome:
    """What comes of asking `shadow` the same, as the answers would show it. In its thread."""
    if not _takes_the_same(loaded, shadow):
        return "failed"
    try:
        prediction = shadow.model.predict(call.batch, shadow.schema.wanted(call))
        theirs = plain(results(prediction, call, shadow.schema.signature))
    except BaseException as error:  # noqa: BLE001  # a model may raise anything
        logger.debug("%s raised as a shadow: %s", shadow.ref, type(error).__name__)
        return "failed"
    ours = plain(results(predicted.prediction, call, loaded.schema.signature))
    return "agrees" if next(differences(theirs, ours, TOLERANCE), None) is None else "differs"
