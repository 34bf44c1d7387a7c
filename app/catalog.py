"""Which names are served, which version answers a name now, and how each is doing.

named -> resolve -> fetch -> verify -> load -> check -> READY
            any step may fail: FAILED(reason, next try at), tried again with back-off
"""

from __future__ import annotations

import asyncio
import difflib
import fnmatch
import logging
import random
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from app.errors import (
    ModelNotFound,
    ModelUnavailable,
    Overloaded,
    RegistryUnavailable,
    ServingError,
)
from app.pool import Loaded, Options, Pool
from app.registries import Registry, is_name, version_age
from app.tensors import ModelRef

logger = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 60.0
UNKNOWN_S: Final = 30.0
"""How long a name that the registry does not have is remembered."""
_MAX_UNKNOWN: Final = 1000
_LOOK_UPS_PER_S: Final = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """One model that the operator names."""

    name: str
    version: str | None = None
    """None: the newest."""
    registry: str = ""
    """Empty: the default one."""
    is_preloaded: bool = True
    is_required: bool = True
    options: Options = field(default_factory=Options)


class State(StrEnum):
    """Of one name and version."""

    KNOWN = "KNOWN"
    """Not in memory; loaded on the next request."""
    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


class Entry:
    """The life of one name and version (or of the newest), between awaits."""

    def __init__(self, wanted: Wanted, registry: Registry, *, is_named: bool) -> None:
        self.wanted = wanted
        self.registry = registry
        self.is_named = is_named
        """By the operator; not merely asked for by a request."""
        self.ref: ModelRef | None = None
        self.step = ""
        self.error: ServingError | None = None
        self.failures = 0
        self.next_try_at = 0.0
        """`time.monotonic()` seconds."""
        self.was_tried = False
        self.task: asyncio.Task[Loaded | ServingError] | None = None

    def tell(self, step: str) -> None:
        """The load has come to `step`; called from its thread."""
        self.step = step

    def fail(self, error: ServingError) -> None:
        """Remember why, and when to try again."""
        self.error = error
        self.failures += 1
        wait_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(self.failures - 1, 10))
        self.next_try_at = time.monotonic() + wait_s * random.uniform(0.8, 1.2)  # noqa: S311  # jitter

    def retry_after_s(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self.next_try_at - time.monotonic())


@dataclass(frozen=True, slots=True)
class Status:
    """One entry as people and exporters see it."""

    name: str
    version: str
    state: State
    is_required: bool
    step: str = ""
    reason: str = ""
    next_try_s: float | None = None
    loaded: Loaded | None = None


class Catalog:
    """Answers names with loaded models. All state changes on the loop, between awaits."""

    def __init__(
        self,
        registries: Mapping[str, Registry],
        pool: Pool,
        loaders: Executor,
        *,
        wanted: Sequence[Wanted] | None,
        default_model: str | None = None,
        on_demand: bool = True,
        on_demand_match: str = "*",
    ) -> None:
        """`wanted` None: every model of the first registry; the first one is also the default."""
        self._registries = registries
        self._default_registry = next(iter(registries.values()))
        self._pool = pool
        self._loaders = loaders
        self._default_model = default_model
        self._on_demand = on_demand
        self._on_demand_match = on_demand_match
        self._entries: dict[tuple[str, str | None], Entry] = {}
        self._answers: dict[str, tuple[str, str | None]] = {}
        """Name -> the entry that answers it when a request names no version."""
        self._unknown: dict[tuple[str, str | None], tuple[float, ModelNotFound]] = {}
        self._look_ups: deque[float] = deque(maxlen=_LOOK_UPS_PER_S)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_discovering = wanted is None
        self.registry_errors = 0
        for model in wanted or ():
            self._name(model)

    def start(self) -> None:
        """Begin to load what is to be preloaded; returns at once."""
        if self._is_discovering:
            self._spawn(self._discover())
        for entry in list(self._entries.values()):
            if entry.wanted.is_preloaded:
                self._spawn(self._keep(entry))

    async def close(self) -> None:
        """End the background tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_ready(self) -> bool:
        """Every required model is there, and every other preloaded one was tried."""
        if self._is_discovering:
            return False
        return all(
            self._state(entry) is State.READY if entry.wanted.is_required else entry.was_tried
            for entry in self._entries.values()
            if entry.is_named and (entry.wanted.is_preloaded or entry.wanted.is_required)
        )

    def names(self) -> list[str]:
        """Of the models served, sorted."""
        return sorted(name for name, key in self._answers.items() if self._entries[key].is_named)

    def default_name(self) -> str | None:
        """The model of requests that name none, if there is one."""
        if self._default_model is not None:
            return self._default_model
        names = self.names()
        return names[0] if len(names) == 1 else None

    async def find(self, name: str, version: str | None = None) -> Loaded:
        """The model that answers `name` now, loaded if need be.

        Raises:
            ModelNotFound: no such name or version.
            ModelUnavailable: it failed to load; the text says why, and when it is tried again.
        """
        key = self._answers.get(name) if version is None else (name, version)
        entry = None if key is None else self._entries.get(key)
        if entry is None:
            entry = self._ask(name, version)
        if entry.ref is not None:
            loaded = self._pool.get(entry.ref)
            if loaded is not None:
                return loaded
        return await self._load(entry)

    def status(self) -> list[Status]:
        """Of all names and versions, in order."""
        told = []
        for (name, version), entry in sorted(self._entries.items(), key=lambda item: str(item[0])):
            state = self._state(entry)
            failed = entry.error if state is State.FAILED else None
            told.append(
                Status(
                    name=name,
                    version=entry.ref.version if entry.ref else version or "latest",
                    state=state,
                    is_required=entry.is_named and entry.wanted.is_required,
                    step=entry.step if state in (State.LOADING, State.FAILED) else "",
                    reason=failed.message if failed else "",
                    next_try_s=entry.retry_after_s() if failed else None,
                    loaded=self._pool.peek(entry.ref) if entry.ref else None,
                )
            )
        return told

    def _state(self, entry: Entry) -> State:
        if entry.ref is not None and self._pool.peek(entry.ref) is not None:
            return State.READY
        if entry.task is not None:
            return State.LOADING
        return State.FAILED if entry.error is not None else State.KNOWN

    def _name(self, wanted: Wanted) -> Entry:
        registry = self._registries[wanted.registry] if wanted.registry else self._default_registry
        key = (wanted.name, wanted.version)
        entry = self._entries[key] = Entry(wanted, registry, is_named=True)
        _, before = self._answers.get(wanted.name, (None, "" if wanted.version else None))
        is_newest = (
            wanted.version is None
            or before == ""
            or (before is not None and version_age(wanted.version) > version_age(before))
        )
        if is_newest:
            self._answers[wanted.name] = key
        return entry

    def _ask(self, name: str, version: str | None) -> Entry:
        """An entry for what the operator did not name, if such may be loaded."""
        if not is_name(name) or (version is not None and not is_name(version)):
            raise ModelNotFound("a model's name and version are letters, digits, '.', '_' and '-'")
        key = (name, version)
        until, error = self._unknown.get(key, (0.0, None))
        if error is not None and time.monotonic() < until:
            raise ModelNotFound(error.message)
        if not self._on_demand or not fnmatch.fnmatchcase(name, self._on_demand_match):
            near = difflib.get_close_matches(name, self.names(), n=3)
            what = name if version is None else f"{name}:{version}"
            raise ModelNotFound(f"no model {what!r} is served here", near=near)
        now = time.monotonic()
        if len(self._look_ups) == _LOOK_UPS_PER_S and now - self._look_ups[0] < 1:
            raise Overloaded("too many look-ups of models that are not loaded", retry_after_s=1)
        self._look_ups.append(now)
        named = self._entries.get(self._answers.get(name, ("", None)))
        wanted = Wanted(name, version, is_preloaded=False, is_required=False)
        if named is not None:
            wanted = Wanted(
                name, version, named.wanted.registry, False, False, named.wanted.options
            )
        registry = self._default_registry if named is None else named.registry
        entry = self._entries[key] = Entry(wanted, registry, is_named=False)
        if version is None:
            self._answers[name] = key
        return entry

    async def _load(self, entry: Entry) -> Loaded:
        if entry.task is None:
            if entry.error is not None and entry.retry_after_s() > 0:
                raise self._unavailable(entry, entry.error)
            entry.task = asyncio.create_task(self._bring(entry))
        outcome = await asyncio.shield(entry.task)
        if isinstance(outcome, Loaded):
            return outcome
        if isinstance(outcome, ModelNotFound) and not entry.is_named:
            raise ModelNotFound(outcome.message)
        raise self._unavailable(entry, outcome)

    def _unavailable(self, entry: Entry, error: ServingError) -> ModelUnavailable:
        name, version = entry.wanted.name, entry.wanted.version
        what = name if version is None else f"{name}:{version}"
        return ModelUnavailable(
            f"model {what} cannot be served: {error.message}",
            retry_after_s=max(1.0, entry.retry_after_s()),
        )

    async def _bring(self, entry: Entry) -> Loaded | ServingError:
        """One try, which never raises: whoever waits for it gets the model or the reason."""
        loop = asyncio.get_running_loop()
        wanted = entry.wanted
        try:
            entry.tell("resolve")
            entry.ref = await loop.run_in_executor(
                self._loaders, entry.registry.resolve, wanted.name, wanted.version
            )
            loaded = await self._pool.load(entry.ref, entry.registry, wanted.options, entry.tell)
        except ServingError as error:
            return self._failed(entry, error)
        except Exception as error:
            logger.exception("loading %s raised", wanted.name)
            kind = type(error).__name__
            return self._failed(entry, ModelUnavailable(f"{entry.step} raised {kind}; see the log"))
        else:
            entry.error, entry.failures = None, 0
            return loaded
        finally:
            entry.task = None
            entry.was_tried = True

    def _failed(self, entry: Entry, error: ServingError) -> ServingError:
        wanted = entry.wanted
        if isinstance(error, RegistryUnavailable):
            self.registry_errors += 1
        if isinstance(error, ModelNotFound) and not entry.is_named:
            self._forget(wanted.name, wanted.version, error)
            return error
        entry.fail(error)
        logger.warning(
            "model %s, version %s: %s failed, next try in %.0f s: %s",
            *(wanted.name, wanted.version or "latest", entry.step, entry.retry_after_s(), error),
        )
        return error

    def _forget(self, name: str, version: str | None, error: ModelNotFound) -> None:
        key = (name, version)
        self._entries.pop(key, None)
        if self._answers.get(name) == key:
            del self._answers[name]
        while len(self._unknown) >= _MAX_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[key] = (time.monotonic() + UNKNOWN_S, error)

    async def _keep(self, entry: Entry) -> None:
        """Try until it is loaded once."""
        while True:
            try:
                await self._load(entry)
            except ServingError:
                await asyncio.sleep(entry.retry_after_s())
            else:
                return

    async def _discover(self) -> None:
        """Name every model of the registry, as soon as it can be read."""
        registry, wait_s = self._default_registry, FIRST_RETRY_S
        while True:
            try:
                names = await asyncio.get_running_loop().run_in_executor(
                    self._loaders, registry.names
                )
            except RegistryUnavailable as error:
                self.registry_errors += 1
                logger.warning("%s; next try in %.0f s", error, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(LAST_RETRY_S, wait_s * 2)
            else:
                break
        if not names:
            logger.warning("there are no models in the registry")
        for name in names:
            self._spawn(self._keep(self._name(Wanted(name, is_required=False))))
        self._is_discovering = False

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
