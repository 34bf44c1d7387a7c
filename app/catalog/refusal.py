"""A version that may not take the place of the one that answers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Final

from app.errors import ServingError
from app.notes import Answering
from app.tensors import ModelRef

_REFUSED_S: Final = 600.0
"""A version that was refused is tried again then: not its files change, but what is around may."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that was loaded beside one that answers, and may not take its place."""

    ref: ModelRef
    reason: str
    next_try_at: float
    """`time.monotonic()` seconds."""

    @classmethod
    def after(cls, ref: ModelRef, error: ServingError) -> Refusal:
        """It could not be loaded."""
        wait_s = max(_REFUSED_S, error.retry_after_s or 0)
        return cls(ref, error.message, time.monotonic() + wait_s)

    @classmethod
    def until_asked_for(cls, ref: ModelRef, reason: str) -> Refusal:
        """It failed too often while it answered."""
        return cls(ref, reason, math.inf)

    def holds(self, ref: ModelRef) -> bool:
        """`ref` need not be tried now."""
        return self.ref == ref and time.monotonic() < self.next_try_at


def answering(good: ModelRef, refusal: Refusal | None) -> Answering:
    """What the next process is told: also of a refusal that no check at load would find again."""
    if refusal is None or refusal.next_try_at < math.inf:
        return Answering(good.version)
    return Answering(good.version, refusal.ref.version, refusal.reason)
