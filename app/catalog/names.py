"""Every name that is served, and the entry that answers it now."""

from __future__ import annotations

import asyncio
import difflib
import fnmatch
import logging
import random
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial

from app.catalog.desired import Desires
from app.catalog.edits import Edits
from app.catalog.entry import FIRST_RETRY_S, Entry
from app.catalog.lineup import Asker
from app.catalog.lookups import UNKNOWN_S, LookUps
from app.catalog.outcomes import Outcomes
from app.catalog.outlook import Outlook
from app.catalog.roster import Roster
from app.catalog.status import Status, Wanted
from app.errors import ModelNotFound, ModelUnavailable, RegistryUnavailable, ServingError
from app.pool import DEFAULTS, Loaded, Options, Pool
from app.registries import Registry, is_name, version_age
from app.tensors import ModelRef

logger = logging.getLogger(__name__)


class Catalog:
    """The models of one process."""

    def __init__(
        self,
        registries: Mapping[str, Registry],
        pool: Pool,
        loaders: Executor,
        *,
        wanted: Sequence[Wanted] | None,
        default_model: str | None,
        on_demand: bool,
        on_demand_match: str,
        options: Options = DEFAULTS,
        refresh_s: float = 0.0,
        outcomes: Outcomes | None = None,
        reloads: bool = False,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        """The first of `registries` is the default one; `wanted` None: every model it has.

        Args:
            options: of models of the default registry that are not listed.
            refresh_s: how often newer versions are looked for; 0 is never.
            outcomes: tells when a newer version fails too often; None: never.
            reloads: models are loaded again when their files change; all registries are folders.
        """
        self._pool = pool
        self._default_model = default_model
        self._on_demand = on_demand
        self._on_demand_match = on_demand_match
        self._first_retry_s = first_retry_s
        self._refresh_s = refresh_s
        self._outcomes = outcomes
        self._reloads = reloads
        self._look_ups = LookUps()
        self._tasks: set[asyncio.Task[None]] = set()
        self._serves_all = self._is_discovering = wanted is None
        self._was_ready = False
        self._errors = 0
        self._outlook = Outlook(next(iter(registries.values())), pool, loaders, first_retry_s)
        self._roster = Roster(
            registries, pool, self._entry, default_model=default_model, options=options
        )
        self._entries, self._lineups = self._roster.entries, self._roster.lineups
        self._roster.put(wanted or ())

    def start(self) -> None:
        """Begin to load what is to be preloaded; returns at once."""
        self._spawn(self._discover() if self._is_discovering else self._outlook.reach())
        self._keep(self._entries)
        if self._outcomes is not None:
            self._spawn(self._outcomes.keep())
        if self._reloads:
            self._spawn(Edits(self._entries, self._pool, self._spawn).keep())
        if self._refresh_s:
            self._spawn(self._keep_fresh(self._refresh_s))

    async def close(self) -> None:
        """End the background tasks; what a loading thread has begun it ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for entry in self._entries:
            await entry.close()
        await self._pool.close()

    @property
    def is_ready(self) -> bool:
        """Every required model has been there once, and every other preloaded one was tried.

        With none of them: the registry was reached once, or models of it are on this disk.
        """
        if not self._was_ready:
            self._was_ready = self._looks_ready()
        return self._was_ready  # a model that is listed later makes nobody wait for it

    def _looks_ready(self) -> bool:
        awaited = [entry for entry in self._entries if entry.is_awaited]
        if self._is_discovering or not awaited:
            return not self._is_discovering and self._outlook.is_within_reach
        return all(e.was_ready if e.wanted.is_required else e.was_tried for e in awaited)

    @property
    def place(self) -> Mapping[str, str]:
        """What the default registry tells of itself: id, name, location; empty until it does."""
        return self._outlook.place

    @property
    def registry_errors(self) -> int:
        """How often a registry could not be read."""
        return self._errors + self._outlook.errors

    def names(self) -> list[str]:
        """Of the models served, sorted."""
        return list(self._entries.names)

    @property
    def serves_one(self) -> bool:
        """There is one name, and no other."""
        return len(self._entries.names) == 1

    def default_name(self) -> str | None:
        """The model of requests that name none, if there is one.

        Raises:
            ModelUnavailable: what the registry holds is not known yet.
        """
        if self._default_model is not None:
            return self._default_model
        names = self._entries.names
        if not names and self._is_discovering:
            raise self._not_read()
        return names[0] if len(names) == 1 else None

    def get(
        self, name: str, version: str | None = None, asker: Asker | None = None
    ) -> Loaded | None:
        """The model that answers `name` now, when it is in memory.

        Args:
            version: exact, or a label.
            asker: tells which version answers, where several share the traffic.
        """
        return self._roster.get(name, version, asker)

    async def find(
        self, name: str, version: str | None = None, asker: Asker | None = None
    ) -> Loaded:
        """The model that answers `name` now, loaded if need be; as `get`.

        Raises:
            ModelNotFound: no such name or version.
            ModelUnavailable: it failed to load; the text says why, and when it is tried again.
            Overloaded: too many names that are not known are asked for.
        """
        split = self._lineups.split(name)
        if version is None and split is not None:
            version = next(split.order(asker))
        version = self._lineups.version(name, version)
        entry = self._entries.get(name, version) or self._ask(name, version)
        return entry.get() or await entry.load()

    @property
    def is_observed(self) -> bool:
        """Some version has a shadow, or its answers are collected."""
        return self._roster.is_observed

    def shadow(self, name: str) -> Loaded | None:
        """The version of `name` that is asked the same and not heard, if it is in memory."""
        lineup = self._lineups.of(name)
        entry = lineup and self._entries.at(name, lineup.shadow)
        return entry.get() if entry else None

    async def resolve(self, name: str, version: str | None) -> ModelRef:
        """Which exact version that is. Raises: ModelNotFound, RegistryUnavailable."""
        return await self._pool.resolve(name, version, self._roster.registry_of(name))

    async def refresh(self, name: str | None = None, *, is_asked_for: bool = False) -> None:
        """Look for newer versions of what is in memory, of all names or of one."""
        asked = [entry for entry in self._entries if name in (None, entry.wanted.name)]
        failed = await asyncio.gather(*(e.refresh(is_asked_for=is_asked_for) for e in asked))
        self._errors += sum(failed)

    def put(self, listed: Sequence[Wanted]) -> None:
        """Serve these in place of those that were listed before."""
        self._was_ready = self.is_ready
        self._keep(self._roster.put(listed))

    def desire(self, desires: Desires) -> None:
        """What an administrator asks for goes over what is listed."""
        self._was_ready = self.is_ready
        before = self._roster.desires
        self._keep(self._roster.desire(desires))
        for name, desired in desires.by_name.items():
            if desired.refreshes != before.of(name).refreshes:
                self._spawn(self.refresh(name, is_asked_for=True))

    def _keep(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.is_awaited:
                self._spawn(entry.keep())

    def status(self) -> list[Status]:
        """Of all names and versions, in order; without what a request names and nobody has seen."""
        seen = [entry.status() for entry in self._entries if entry.is_named or entry.ref]
        return sorted(seen, key=lambda status: (status.name, version_age(status.version)))

    def _entry(self, wanted: Wanted, registry: Registry, is_named: bool) -> Entry:
        return Entry(
            wanted,
            registry,
            self._pool,
            self._failed,
            self._switched,
            is_named=is_named,
            first_retry_s=self._first_retry_s,
        )

    def _ask(self, name: str, version: str | None) -> Entry:
        """An entry for what the operator did not name, if such may be loaded."""
        if self._roster.desires.of(name).is_unloaded:
            raise ModelUnavailable(f"model {name} was unloaded; POST /admin/models/{name}/load")
        if not is_name(name) or (version is not None and not is_name(version)):
            raise ModelNotFound("a model's name and version are letters, digits, '.', '_' and '-'")
        self._look_ups.recall((name, version))
        if not self._on_demand or not fnmatch.fnmatchcase(name, self._on_demand_match):
            if self._is_discovering:
                raise self._not_read()
            near = difflib.get_close_matches(name, self.names(), n=3)
            asked = name if version is None else f"{name}:{version}"
            raise ModelNotFound(f"no model {asked!r} is served here", near=near)
        self._look_ups.begin()
        return self._roster.ask(name, version)

    def _not_read(self) -> ModelUnavailable:
        return ModelUnavailable("the registry has not been read yet", retry_after_s=1)

    def _failed(self, entry: Entry, error: ServingError) -> None:
        """Told by an entry. One that only a request named and that is not there is forgotten."""
        wanted, wait_s = entry.wanted, entry.retry_after_s()
        is_unknown, is_away = (
            isinstance(error, ModelNotFound),
            isinstance(error, RegistryUnavailable),
        )
        self._errors += is_away
        if not entry.is_named and (is_unknown or is_away):
            self._entries.forget(entry)
            self._look_ups.remember(
                (wanted.name, wanted.version),
                error.message,
                UNKNOWN_S if is_unknown else wait_s,
                is_unknown=is_unknown,
            )
            return
        text = "model %s: %s failed, next try in %.0f s: %s"
        logger.warning(text, wanted, entry.step, wait_s, error.message)

    def _switched(self, entry: Entry, before: ModelRef) -> None:
        """Told by an entry: `before` is not heard any more, unless another entry has it."""
        now = entry.ref
        if self._outcomes is None or now is None:
            self._roster.let_go(before)
        else:
            step_back = partial(entry.step_back, now)
            self._outcomes.watch(now, before, step_back, self._roster.let_go)

    async def _keep_fresh(self, refresh_s: float) -> None:
        while True:
            await asyncio.sleep(refresh_s * random.uniform(0.9, 1.1))  # noqa: S311  # no secret
            await self.refresh()
            if self._serves_all:
                await self._discover()

    async def _discover(self) -> None:
        """Name every model of the registry, as soon as it can be read; those before stay."""
        found, before = await self._outlook.names(), self.names()
        if not found and self._is_discovering:
            logger.warning("there are no models in the registry")
        if (names := sorted({*found, *before})) != before:
            self.put([replace(self._roster.unlisted(name), is_preloaded=True) for name in names])
        self._is_discovering = False

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
