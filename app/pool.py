"""Models in memory: loaded once however many ask, least recently used goes first."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from app import golden, verified
from app.acceleration import OFF, Acceleration, Accelerator, Mode
from app.batching import Batcher, Workers
from app.errors import ModelUnavailable, ServingError
from app.golden import Verdict
from app.manifest import Manifest
from app.registries import Details, Registry
from app.schema import Schema
from app.store import Store
from app.tensors import Model, ModelRef
from app.trust import EVERYTHING, Trust
from app.verified import Verified

logger = logging.getLogger(__name__)

DEFAULT_MAX_ROWS: Final = 1024
"""Rows of a joint model call, unless the manifest or the configuration says otherwise."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator may say of a model; None leaves it to its manifest, then to the default."""

    is_pinned: bool = False
    max_rows: int | None = None
    threads: int | None = None
    timeout_s: float | None = None
    trust: Trust = EVERYTHING
    accelerate: Mode = "off"


DEFAULTS: Final = Options()
"""What holds for a model of which the operator says nothing."""


@dataclass(slots=True)
class Loaded:
    """One model version, checked and ready to be called."""

    ref: ModelRef
    manifest: Manifest
    model: Model
    schema: Schema
    batcher: Batcher
    verdict: Verdict
    details: Details
    digest: str
    size_bytes: int
    fetch_s: float
    load_s: float
    timeout_s: float | None
    is_pinned: bool
    options: Options
    headers: tuple[tuple[bytes, bytes], ...]
    """Told with each of its answers."""
    acceleration: Acceleration = OFF
    last_use: int = 0
    """A number that grows with each use of any model."""


class Pool:
    """Keeps what fits its budget. Dropping the pool's reference is all that unloading needs."""

    def __init__(
        self, store: Store, workers: Workers, loaders: Executor, *, budget_bytes: int
    ) -> None:
        self._store = store
        self._accelerator = Accelerator(store)
        self._workers = workers
        self._loaders = loaders
        self._budget_bytes = budget_bytes
        self._models: dict[ModelRef, Loaded] = {}
        self._uses = 0
        self._loading: dict[ModelRef, asyncio.Task[Loaded]] = {}
        self._pinned: dict[ModelRef, int] = {}
        """Models that stay, or will once they are loaded, and their bytes."""

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

    def release(self, ref: ModelRef) -> None:
        """Drop it; requests inside keep theirs."""
        self._pinned.pop(ref, None)
        if self._models.pop(ref, None) is not None:
            logger.info("%s is unloaded", ref)

    def adjust(self, ref: ModelRef, options: Options) -> None:
        """Let `options` hold for a model that is in memory; requests inside keep the old ones.

        A model whose trust or acceleration is another one leaves: its next load judges it anew.
        """
        loaded = self._models.get(ref)
        if loaded is None:
            return
        before = loaded.options
        if (options.trust, options.accelerate) != (before.trust, before.accelerate):
            self.release(ref)
            return
        self._pinned.pop(ref, None)
        if options.is_pinned:
            self._pinned[ref] = loaded.size_bytes
        self._models[ref] = replace(
            loaded,
            batcher=self._batcher(ref, loaded.model, loaded.verdict, options, loaded.manifest),
            timeout_s=options.timeout_s or loaded.manifest.timeout_s,
            is_pinned=options.is_pinned,
            options=options,
        )

    async def is_warm(self, registry: Registry) -> bool:
        """Some model of it is on this disk."""
        return await run_in(self._loaders, self._store.is_warm, registry)

    def peek(self, ref: ModelRef) -> Loaded | None:
        """As `get`, without counting as a use."""
        return self._models.get(ref)

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
        loaded = self.get(ref)
        if loaded is not None:
            return loaded
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
        found = await run_in(
            self._loaders, verified.bring, ref, registry, self._store, options.trust, tell
        )
        self._reserve(ref, found.size_bytes, options)
        try:
            loaded = await run_in(self._loaders, self._load, ref, found, options, tell, started)
        except BaseException:
            self._pinned.pop(ref, None)
            raise
        self._models[ref] = loaded
        self.get(ref)
        self._evict(keep=ref)
        logger.info(
            "%s is ready after %.2f s (%s; joining %s)",
            *(ref, loaded.load_s, loaded.verdict.checked, loaded.verdict.joining),
        )
        return loaded

    def _reserve(self, ref: ModelRef, size_bytes: int, options: Options) -> None:
        """Refuse what could not stay; what is pinned counts from now on.

        Raises:
            ModelUnavailable: it does not fit beside the pinned models.
        """
        pinned_bytes = sum(size for other, size in self._pinned.items() if other != ref)
        if size_bytes + pinned_bytes > self._budget_bytes:
            beside = f", of which pinned ones take {pinned_bytes}" if pinned_bytes else ""
            raise ModelUnavailable(
                f"the model takes {size_bytes} bytes of memory, all models may take "
                f"{self._budget_bytes} (SERVE_MEMORY_BYTES){beside}"
            )
        if options.is_pinned:
            self._pinned[ref] = size_bytes

    def _load(
        self,
        ref: ModelRef,
        found: Verified,
        options: Options,
        tell: Callable[[str], None],
        started: float,
    ) -> Loaded:
        """Blocking; in a loading thread."""
        tell("load")
        stated = found.manifest
        threads = self._threads(options, stated)
        model, acceleration = self._accelerator.load(
            stated,
            found.digest,
            found.untrusted,
            max(1, self._workers.threads // threads),
            options.accelerate,
        )
        schema = Schema(model.signature)
        if guessed := ", ".join(model.signature.guessed[:5]):
            text = "%s: the types of %s are not known; a schema.json would name them"
            logger.warning(text, ref, guessed)
        tell("check")
        verdict = golden.check(model, schema, stated.golden)
        return Loaded(
            ref=ref,
            manifest=stated,
            model=model,
            schema=schema,
            batcher=self._batcher(ref, model, verdict, options, stated),
            verdict=verdict,
            details=found.details,
            digest=found.digest,
            size_bytes=found.size_bytes + acceleration.size_bytes,
            fetch_s=found.fetch_s,
            load_s=time.perf_counter() - started,
            timeout_s=options.timeout_s or stated.timeout_s,
            is_pinned=options.is_pinned,
            options=options,
            headers=(
                (b"x-model-name", ref.name.encode()),
                (b"x-model-version", ref.version.encode()),
            ),
            acceleration=acceleration,
        )

    def _batcher(
        self, ref: ModelRef, model: Model, verdict: Verdict, options: Options, stated: Manifest
    ) -> Batcher:
        max_rows = options.max_rows or stated.max_rows or DEFAULT_MAX_ROWS
        return Batcher(
            model,
            str(ref),
            self._workers,
            max_rows=max_rows if verdict.joinable else 1,
            threads=self._threads(options, stated),
            expected_s=verdict.predict_s if model.is_steady else math.inf,
        )

    def _threads(self, options: Options, stated: Manifest) -> int:
        """Calls of one model at the same time."""
        return options.threads or stated.threads or self._workers.threads

    def _evict(self, keep: ModelRef) -> None:
        """Drop the models used longest ago until the rest fits; requests inside keep theirs."""
        for ref in sorted(self._models, key=lambda other: self._models[other].last_use):
            if self.size_bytes() <= self._budget_bytes:
                return
            if ref != keep and ref not in self._pinned:
                logger.info("%s is unloaded to make room", ref)
                del self._models[ref]


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
