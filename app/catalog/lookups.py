"""What requests may make the registry look up: a few a second, and nothing twice in vain."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from app.errors import ModelNotFound, ModelUnavailable, Overloaded

UNKNOWN_S: Final = 30.0
"""How long a name that the registry does not have is remembered."""
LOOK_UPS_PER_S: Final = 5
_MAX_REMEMBERED: Final = 1000

Key = tuple[str, str | None]
"""Name, and version or None for the newest."""


@dataclass(frozen=True, slots=True)
class _InVain:
    """One look-up that gave nothing."""

    until: float
    """`time.monotonic()` seconds."""
    reason: str
    is_unknown: bool
    """The registry was read, and has no such model."""


class LookUps:
    """Those of one process, of names that the operator did not list."""

    def __init__(self) -> None:
        self._in_vain: dict[Key, _InVain] = {}
        self._begun_at: deque[float] = deque(maxlen=LOOK_UPS_PER_S)

    def recall(self, key: Key) -> None:
        """Nothing when `key` may be looked up.

        Raises:
            ModelNotFound, ModelUnavailable: what its last look-up came to, not long ago.
        """
        known = self._in_vain.get(key)
        if known is None:
            return
        left_s = known.until - time.monotonic()
        if left_s <= 0:
            del self._in_vain[key]
        elif known.is_unknown:
            raise ModelNotFound(known.reason)
        else:
            raise ModelUnavailable(known.reason, retry_after_s=max(1.0, left_s))

    def begin(self) -> None:
        """Count one.

        Raises:
            Overloaded: as many as may be began within the last second.
        """
        now = time.monotonic()
        if len(self._begun_at) == LOOK_UPS_PER_S and now - self._begun_at[0] < 1:
            raise Overloaded("too many look-ups of models that are not loaded", retry_after_s=1)
        self._begun_at.append(now)

    def remember(self, key: Key, reason: str, wait_s: float, *, is_unknown: bool) -> None:
        """`key` is not looked up for `wait_s` seconds; of too many the oldest is forgotten."""
        self._in_vain.pop(key, None)
        while len(self._in_vain) >= _MAX_REMEMBERED:
            del self._in_vain[next(iter(self._in_vain))]
        self._in_vain[key] = _InVain(time.monotonic() + wait_s, reason, is_unknown)
