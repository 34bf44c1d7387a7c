"""What scripts import as `azureml.ai.monitoring.context`: which tables belong together."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping


class CorrelationContext:
    """Of one request."""

    def get_id(self) -> str:
        """Empty: of none."""
        return ""

    def __str__(self) -> str:
        return self.get_id()

    __repr__ = __str__


class BasicCorrelationContext(CorrelationContext):
    """By an id."""

    def __init__(
        self,
        id: str | None = None,  # its name there
        timestamp: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.id = id or str(uuid.uuid4())
        self.timestamp = timestamp or int(time.time())
        self.headers = dict(headers or {})

    def get_id(self) -> str:
        """As given, or made."""
        return self.id

    def get_timestamp(self) -> int:
        """Seconds since the epoch."""
        return self.timestamp

    def get_headers(self) -> dict[str, str]:
        """As given."""
        return self.headers


def get_context() -> BasicCorrelationContext:
    """A new one."""
    return BasicCorrelationContext()
