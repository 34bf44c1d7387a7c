"""What may change while serving: the configuration file, and what an administrator asks for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from app.catalog import Catalog, Wanted
from app.catalog.desired import DesiredFile
from app.main import sources
from app.settings import ConfigFile, Settings, SettingsError

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often both files are looked at."""


class Watch:
    """Tells the catalog of one process."""

    def __init__(self, settings: Settings, catalog: Catalog, desired: DesiredFile) -> None:
        self._settings = settings
        self._catalog = catalog
        self._desired = desired
        self._seen = _seen(settings.config)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Now; whatever is wrong with a file, what it said before goes on."""
        listed = await asyncio.to_thread(self._listed)
        if listed is not None:
            self._catalog.put(listed)
        desires = await asyncio.to_thread(self._desired.changed)
        if desires is not None:
            self._catalog.desire(desires)

    def _listed(self) -> Sequence[Wanted] | None:
        """What the configuration file lists, when it has changed. Blocking."""
        config = self._settings.config
        seen = _seen(config)
        if config is None or seen == self._seen:
            return None
        self._seen = seen
        try:
            fresh = config.again()
            if fresh.registries != config.registries:
                raise SettingsError("registries change with a restart only")
            settings = self._settings.model_copy(update={"config": fresh})
            listed = [sources.wanted(model, settings) for model in settings.named_models or ()]
        except SettingsError as error:
            for line in error.lines:
                logger.error("the configuration stays as it was: %s", line)
            return None
        self._settings = settings
        logger.info("the configuration file has changed")
        return listed


def _seen(config: ConfigFile | None) -> tuple[int, int, int] | None:
    """What tells a file from its next version; a mounted one is replaced as a whole."""
    try:
        status = None if config is None else config.path.stat()
    except OSError:
        return None
    return None if status is None else (status.st_mtime_ns, status.st_ino, status.st_size)
