"""What a process is made of between the protocols and the disk, built from settings."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from app import quota
from app.azure.access import Access
from app.batching import Workers
from app.catalog import Catalog, Outcomes
from app.collecting import open_target
from app.crashes import Crashes
from app.engine import Engine
from app.limits import Limits
from app.loader import Loader
from app.main import sources
from app.memory import Memory
from app.observers import Observers
from app.observers.collection import Collection
from app.observers.shadows import Shadows
from app.observers.tables import Tables
from app.pool import LOADS, Options, Pool
from app.registries.local import LocalRegistry
from app.settings import Settings, SettingsError
from app.store import Store

_DECODERS: Final = 1
"""Large bodies that are decoded at the same time; first come, first served."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a process is made of; the command line uses some of it without a server."""

    store: Store
    workers: Workers
    loaders: ThreadPoolExecutor
    decoders: ThreadPoolExecutor
    access: Access
    crashes: Crashes
    limits: Limits
    pool: Pool
    catalog: Catalog
    outcomes: Outcomes | None
    shadows: Shadows
    collection: Collection
    tables: Tables
    engine: Engine

    async def close(self) -> None:
        """Let go of tasks and threads."""
        self.shadows.close()
        self.tables.close()
        await asyncio.to_thread(self.collection.close)
        await self.catalog.close()
        self.crashes.close()
        self.workers.close()
        self.loaders.shutdown(wait=False, cancel_futures=True)
        self.decoders.shutdown(wait=False, cancel_futures=True)
        self.access.close()


def build(settings: Settings) -> Parts:
    """Everything between the protocols and the disk.

    Raises:
        SettingsError: no registry is named or there, the cache folder cannot be written, or a
            variable is not set that a script is to see.
        ValueError: the URL of a registry is of no known kind.
    """
    body_bytes, model_bytes = budgets(settings)
    store = open_store(settings)
    workers = Workers(threads(settings))
    loaders = ThreadPoolExecutor(LOADS, thread_name_prefix="load")
    decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
    memory, crashes = Memory(settings.cache_dir), Crashes(settings.cache_dir)
    memory.open()
    crashes.open()
    access = sources.access(settings)
    collection = Collection(partial(open_target, access=access, identity=settings.identity))
    tables = Tables(lambda ref, *given: collection.take(pool.peek(ref), *given))
    loader = Loader(store, workers, memory, crashes, settings.timeout_s, tables.address)
    pool = Pool(store, loader, loaders, budget_bytes=model_bytes)
    back = settings.step_back
    outcomes = None if back is None else Outcomes(back.margin, back.window_s)
    catalog = _catalog(settings, access, pool, loaders, outcomes)
    limits = _limits(settings, body_bytes)
    shadows = Shadows(catalog.shadow)
    engine = Engine(
        limits,
        catalog,
        decoders,
        Observers(shadows, collection),
        timeout_s=settings.timeout_s,
        model_failure_status=settings.model_failure_status,
    )
    return Parts(
        store=store,
        workers=workers,
        loaders=loaders,
        decoders=decoders,
        access=access,
        crashes=crashes,
        limits=limits,
        pool=pool,
        catalog=catalog,
        outcomes=outcomes,
        shadows=shadows,
        collection=collection,
        tables=tables,
        engine=engine,
    )


def _catalog(
    settings: Settings,
    access: Access,
    pool: Pool,
    loaders: ThreadPoolExecutor,
    outcomes: Outcomes | None,
) -> Catalog:
    """What is served: all that a local registry has, unless models are named."""
    registries = sources.registries(settings, access)
    named = settings.named_models
    wanted = [sources.wanted(model, settings) for model in named or ()]
    is_local = isinstance(registries["default"], LocalRegistry)
    return Catalog(
        registries,
        pool,
        loaders,
        wanted=None if is_local and not named else wanted,
        options=Options(trust=sources.trust(settings, None, ())),
        default_model=settings.default_model,
        on_demand=settings.on_demand,
        on_demand_match=settings.on_demand_match,
        refresh_s=settings.refresh_s,
        outcomes=outcomes,
        reloads=settings.reloads,
    )


def _limits(settings: Settings, body_bytes: int) -> Limits:
    of_client = settings.client_max_in_flight
    return Limits(
        max_in_flight=_of_pod(settings.max_in_flight, settings),
        client_max_in_flight=None if of_client is None else _of_pod(of_client, settings),
        body_memory_bytes=body_bytes,
        max_body_bytes=settings.max_body_bytes,
    )


def _of_pod(amount: int, settings: Settings) -> int:
    """The part of it that one worker has."""
    return max(1, amount // settings.workers)


def threads(settings: Settings) -> int:
    """Threads for models; of this process."""
    return _of_pod(settings.threads or quota.cpu_count(), settings)


def budgets(settings: Settings) -> tuple[int, int]:
    """Bytes for bodies, bytes for models; of this process."""
    limit = quota.memory_bytes()
    bodies = settings.body_memory_bytes or limit // 10
    rest = max(0, limit - settings.workers * quota.resident_bytes() - bodies)
    models = settings.memory_bytes or int(0.8 * rest)
    return _of_pod(bodies, settings), _of_pod(models, settings)


def open_store(settings: Settings) -> Store:
    """The model folders on disk. Raises: SettingsError: they cannot be written."""
    store = Store(settings.cache_dir, settings.cache_bytes)
    try:
        store.open()
    except OSError as error:
        raise SettingsError(
            f"SERVE_CACHE_DIR is a path that cannot be written ({error.strerror}); "
            "allowed: a folder, or where one can be made"
        ) from error
    return store
