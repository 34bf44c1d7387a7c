"""Which requests are told of: all while they are few, and some of many; pure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Final

RATE: Final = 0.05
"""Of what comes above the first of a second."""
MOST_PER_S: Final = 30
"""Where `RATE` would be more, it is less: each that is sent costs a millisecond of CPU."""
_RANDOM_BITS: Final = 2**56 - 1
"""The part of a trace id that must be random (W3C Trace Context level 2, section 3.2.2.3)."""


class Kind(Enum):
    """What a request is, with how many of its kind are told of at the beginning of each second."""

    ORDINARY = (1, 10)
    ASKED = (2, 30)
    """Its caller says that the trace is sampled."""
    FAILED = (3, 10)
    PROBE = (4, 1)
    """One that failed: at a start they all do."""
    LOOSE = (5, 10)
    """No request, but a line of the log."""

    @property
    def all_per_s(self) -> int:
        """The first of a second."""
        return self.value[1]


class Sampler:
    """Decides by the trace id, so that who shares a trace, and the rate, decides the same."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = 0
        self._seen: Counter[Kind] = Counter()
        self._rate = RATE

    def percent(self, kind: Kind, trace_id: int) -> float | None:
        """For how many in a hundred like it this one stands; None for one that is not told of."""
        second = int(self._clock())
        if second != self._second:
            seen = self._seen.total() if second == self._second + 1 else 0
            self._rate = min(RATE, MOST_PER_S / max(seen, 1))
            self._second, self._seen = second, Counter()
        self._seen[kind] += 1
        if self._seen[kind] <= kind.all_per_s:
            return 100.0
        is_kept = (trace_id & _RANDOM_BITS) < self._rate * (_RANDOM_BITS + 1)
        return self._rate * 100 if is_kept else None
