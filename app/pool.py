"""Models in memory: loaded once however many ask, least recently used goes first."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Final, TypeVar

from app.errors import ModelUnavailable, ServingError
from app.loader import Loaded, Loader
from app.memory import Size, give_back
from app.notes import Answering
from app.options import DEFAULT_MAX_ROWS, DEFAULTS, Options
from app.registries import Registry
from app.room import Room
from app.store import Store
from app.tensors import ModelRef
from app.verified import Verified

__all__ = ["DEFAULTS", "DEFAULT_MAX_ROWS", "LOADS", "Loaded", "Options", "Pool", "run_in"]

logger = logging.getLogger(__name__)

LOADS: Final = 4
"""Models that are fetched or loaded at the same time."""

Result = TypeVar("Result")


class Pool:
    """Keeps what fits its budget. Dropping the pool's reference is all that unloading needs."""

    def __init__(
        self, store: Store, loader: Loader, loaders: Executor, *, budget_bytes: int
    ) -> None:
        """`loaders`: the threads that `store` and `loader` are called in."""
        self._store = store
        self._loader = loader
        self._loaders = loaders
        self._room = Room(budget_bytes)
        self._models: dict[ModelRef, Loaded] = {}
        self._uses = 0
        self._loading: dict[ModelRef, asyncio.Task[Loaded]] = {}
        self._turns = asyncio.Semaphore(LOADS)
        self._unwritten: dict[tuple[Registry, str], Answering] = {}
        self._writing = threading.Lock()

    def get(self, ref: ModelRef) -> Loaded | None:
        """The model when it is in memory; it is then the last one to go."""
        loaded = self._models.get(ref)
        if loaded is not None:
            self._uses += 1
            loaded.last_use = self._uses
        return loaded

    async def resolve(self, name: str, version: str | None, registry: Registry) -> ModelRef:
        """The exact version. Raises: ModelNotFound, RegistryUnavailable."""
        return await run_in(self._loaders, self._store.resolve, name, version, registry)

    async def newest(self, name: str, registry: Registry) -> ModelRef:
        """As the registry says now. Raises: ModelNotFound, RegistryUnavailable."""
        return await run_in(self._loaders, self._store.newest, name, registry)

    async def answering(self, name: str, registry: Registry) -> Answering:
        """Which version answered for `name` last, in any process."""
        return await run_in(self._loaders, self._store.answering, name, registry)

    def write_answering(self, name: str, registry: Registry, answering: Answering) -> None:
        """Have it written by a loading thread; of several the last one stays."""
        self._unwritten[registry, name] = answering
        self._loaders.submit(self._write_answering, registry, name)

    def _write_answering(self, registry: Registry, name: str) -> None:
        with self._writing:
            answering = self._unwritten.pop((registry, name), None)
            if answering is not None:
                self._store.write_answering(name, registry, answering)

    def release(self, ref: ModelRef) -> None:
        """Drop it; requests inside keep theirs."""
        self._room.leave(ref)
        loaded = self._models.pop(ref, None)
        if loaded is not None:
            logger.info("%s is unloaded", ref)
            self._loaders.submit(_free, [loaded])

    def adjust(self, ref: ModelRef, options: Options) -> None:
        """Let `options` hold for a model that is in memory; requests inside keep the old ones.

        A model whose trust or acceleration is another one leaves: its next load judges it anew. So
        does a script whose processes, their clock, or what they see of ours, are others.
        """
        loaded = self._models.get(ref)
        if loaded is None:
            return
        before = loaded.options
        is_script = loaded.manifest.runtime == "script"
        if (options.trust, options.accelerate) != (before.trust, before.accelerate) or (
            is_script and options.of_processes != before.of_processes
        ):
            self.release(ref)
            return
        adjusted = self._loader.adjusted(loaded, options)
        self._room.pin(ref, adjusted.size_bytes if options.is_pinned else None)
        self._models[ref] = adjusted

    async def is_warm(self, registry: Registry) -> bool:
        """Some model of it is on this disk."""
        return await run_in(self._loaders, self._store.is_warm, registry)

    def peek(self, ref: ModelRef) -> Loaded | None:
        """As `get`, without counting as a use."""
        return self._models.get(ref)

    def _size_of(self, ref: ModelRef) -> int:
        loaded = self._models.get(ref)
        return 0 if loaded is None else loaded.size_bytes

    def size_bytes(self) -> int:
        """Of all models in memory."""
        return sum(loaded.size_bytes for loaded in self._models.values())

    async def load(
        self, ref: ModelRef, registry: Registry, options: Options, tell: Callable[[str], None]
    ) -> Loaded:
        """The model, loaded when it is not here; one load however many ask, whoever leaves.

        Args:
            tell: called from a loading thread with the name of each step.

        Raises:
            ServingError: why it cannot be served.
        """
        return self.get(ref) or await self._load(ref, registry, options, tell)

    async def again(self, ref: ModelRef, registry: Registry, options: Options) -> Loaded:
        """The model anew, for its files have changed: loaded beside the one in memory, which
        answers until then, and goes on when it fails. Both are in memory for a moment.

        Raises:
            ServingError: why it cannot be served.
        """
        return await self._load(ref, registry, options, lambda _: None)

    async def _load(
        self, ref: ModelRef, registry: Registry, options: Options, tell: Callable[[str], None]
    ) -> Loaded:
        task = self._loading.get(ref)
        if task is None:
            task = asyncio.create_task(self._bring(ref, registry, options, tell))
            self._loading[ref] = task
            task.add_done_callback(lambda _: self._loading.pop(ref))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End the loads that run; what a thread has begun it ends."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bring(
        self, ref: ModelRef, registry: Registry, options: Options, tell: Callable[[str], None]
    ) -> Loaded:
        started = time.perf_counter()
        async with self._turns:
            found, expected = await run_in(
                self._loaders, self._loader.find, ref, registry, options, tell
            )
            try:
                loaded = await self._put(ref, found, expected, options, tell, started)
            finally:
                found.lease.close()
        logger.info(
            "%s is ready after %.2f s (%s; joining %s; %d bytes, %s)",
            *(ref, loaded.load_s, loaded.verdict.checked, loaded.verdict.joining),
            *(loaded.size_bytes, loaded.size.source),
        )
        return loaded

    async def _put(
        self,
        ref: ModelRef,
        found: Verified,
        expected: Size,
        options: Options,
        tell: Callable[[str], None],
        started: float,
    ) -> Loaded:
        """Load it once there is room, and keep it."""
        try:
            self._room.check(ref, expected, is_pinned=options.is_pinned)
            await self._make_room(ref, max(0, expected.size_bytes - self._size_of(ref)))
            loaded = await run_in(
                self._loaders, self._loader.load, ref, found, options, tell, started
            )
            if loaded.size.is_exact:
                self._room.check(ref, loaded.size, is_pinned=options.is_pinned)
            elif loaded.size_bytes > (most := self._room.largest(ref)):
                loaded.size = replace(loaded.size, size_bytes=most)
        except BaseException:
            before = self._models.get(ref)
            has_pin = before is not None and before.is_pinned
            self._room.pin(ref, self._size_of(ref) if has_pin else None)
            raise
        finally:
            self._room.end(ref)
        going = [self._models.pop(ref)] if ref in self._models else []
        self._models[ref] = loaded
        self.get(ref)
        going += self._evict(0, keep=ref)
        await self._let_go(going)
        return loaded

    async def _make_room(self, ref: ModelRef, wanted_bytes: int) -> None:
        """Evict before the load, not after: so the two are never in memory together."""
        going: list[Loaded] = []
        while True:
            going += self._evict(wanted_bytes, keep=ref)
            if self._room.has(self.size_bytes() + wanted_bytes):
                break
            await self._let_go(going)
            await self._room.change()
        self._room.begin(ref, wanted_bytes)
        await self._let_go(going)

    async def _let_go(self, going: list[Loaded]) -> None:
        """Free them in a loading thread; requests inside keep theirs."""
        if going:
            await run_in(self._loaders, _free, going)

    def _evict(self, wanted_bytes: int, keep: ModelRef) -> list[Loaded]:
        """Take out the models used longest ago until so much fits beside the rest."""
        going: list[Loaded] = []
        occupied_bytes = self.size_bytes() + wanted_bytes
        if self._room.has(occupied_bytes):
            return going
        for ref in sorted(self._models, key=lambda other: self._models[other].last_use):
            if ref != keep and not self._room.keeps(ref):
                logger.info("%s is unloaded to make room", ref)
                going.append(self._models.pop(ref))
                occupied_bytes -= going[-1].size_bytes
                if self._room.has(occupied_bytes):
                    break
        return going


def _free(going: list[Loaded]) -> None:
    going.clear()
    give_back()


async def run_in(loaders: Executor, work: Callable[..., Result], *given: Any) -> Result:
    """What `work` gives in a loading thread.

    Raises:
        ServingError: whatever `work` raises; a model file may raise anything while it is read.
    """
    return await asyncio.get_running_loop().run_in_executor(loaders, _guarded, work, given)


def _guarded(work: Callable[..., Result], given: tuple[Any, ...]) -> Result:
    try:
        return work(*given)
    except ServingError:
        raise
    except BaseException as error:  # SystemExit would end the process from the event loop
        logger.exception("a load raised")
        kind = type(error).__name__
        raise ModelUnavailable(f"it raised {kind}; the log has the details") from None
