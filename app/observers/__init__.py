"""Told of answers once they are made: shadow comparison, data collection. Nobody waits for them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from app.batching import Predicted
from app.pool import Loaded
from app.tensors import Call

__all__ = ["Asked", "Observer", "Observers", "Seen"]

logger = logging.getLogger(__name__)


class Asked(Protocol):
    """What is known of a request besides its rows."""

    @property
    def request_id(self) -> bytes:
        """The caller's, or ours."""
        ...

    @property
    def content_length(self) -> int | None:
        """Bytes of its body, where that was told before."""
        ...


@dataclass(slots=True)
class Seen:
    """One answered request."""

    asked: Asked
    call: Call
    predicted: Predicted
    loaded: Loaded
    """What has predicted."""


class Observer(Protocol):
    """One that is told. Lives on the loop."""

    def tell(self, seen: Seen) -> None:
        """Of each answer; returns at once."""
        ...


class Observers:
    """Those of one process."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def tell(self, seen: Seen) -> None:
        """All of them; what one makes of it fails nobody's request."""
        for observer in self._observers:
            try:
                observer.tell(seen)
            except Exception:
                logger.exception("%s: an answer is not observed", seen.loaded.ref)
