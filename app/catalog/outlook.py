"""The default registry, asked again until it answers: whether it can be reached, what it tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TypeVar

from app.catalog.entry import LAST_RETRY_S
from app.errors import ServingError
from app.pool import Pool, run_in
from app.registries import Registry

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Outlook:
    """On one registry, from this process."""

    def __init__(
        self, registry: Registry, pool: Pool, loaders: Executor, first_retry_s: float
    ) -> None:
        self._registry = registry
        self._pool = pool
        self._loaders = loaders
        self._first_retry_s = first_retry_s
        self.is_within_reach = False
        """It was read once, or models of it are on this disk."""
        self.place: Mapping[str, str] = {}
        """What it tells of itself: id, name, location; empty until it does."""
        self.errors = 0

    async def reach(self) -> None:
        """Learn what it tells of itself, as soon as it can be read."""
        self.place = await self._until_read(self._registry.describe)
        self.is_within_reach = True

    async def names(self) -> list[str]:
        """Of all its models, as soon as they can be read."""
        found = await self._until_read(self._registry.names)
        self.is_within_reach = True
        return found

    async def _until_read(self, ask: Callable[[], Result]) -> Result:
        wait_s = self._first_retry_s
        while True:
            try:
                return await run_in(self._loaders, ask)
            except ServingError as error:
                self.errors += 1
                logger.warning("%s; next try in %.0f s", error, wait_s)
            is_warm = await self._pool.is_warm(self._registry)
            self.is_within_reach = self.is_within_reach or is_warm
            await asyncio.sleep(wait_s)
            wait_s = min(LAST_RETRY_S, wait_s * 2)
