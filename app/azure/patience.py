"""How long Azure is asked for one thing: 30 seconds at most, whatever it answers."""

from __future__ import annotations

from typing import Any, Final

from azure.core.pipeline.policies import RetryPolicy

CONNECT_S: Final = 5
READ_S: Final = 7
_TOTAL_S: Final = 22
_MOST_WAIT_S: Final = 8


class Patience(RetryPolicy[Any, Any]):
    """Tries again, unless it is asked to wait for longer than anybody here would."""

    def __init__(self) -> None:
        super().__init__(retry_total=2, retry_backoff_factor=0.5, timeout=_TOTAL_S)

    def is_retry(self, settings: dict[str, Any], response: Any) -> bool:
        """See `RetryPolicy`."""
        wait_s = self.get_retry_after(response)
        return not (wait_s and wait_s > _MOST_WAIT_S) and super().is_retry(settings, response)
