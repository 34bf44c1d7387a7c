"""`create_app(settings)`: the only place where objects are built and meet."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import __version__, quota
from app.auth import Auth
from app.azure.access import Access, Given
from app.batching import Workers
from app.catalog import Catalog, State, Wanted
from app.engine import Engine
from app.ids import IdSource
from app.limits import Limits
from app.pool import Options, Pool
from app.protocols import failures, openapi
from app.protocols.score import ScoreEndpoint
from app.registries import Registry, open_registry
from app.registries.local import LocalRegistry
from app.settings import ModelSettings, Settings, SettingsError
from app.store import Store
from app.supervisor import Seat
from app.telemetry import Exporter
from app.telemetry.gauges import Gauges, ModelGauges
from app.telemetry.logs import AccessLog
from app.telemetry.prometheus import Prometheus
from app.telemetry.siblings import SHARE_S, Siblings
from app.trust import Trust
from app.web import console, health
from app.web.acceptor import Acceptor
from app.web.front import Front
from app.web.health import Draining
from app.web.listeners import Shares
from app.web.server import Server, server

logger = logging.getLogger(__name__)

_LOADERS: Final = 4
"""Models that are fetched or loaded at the same time."""
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
    limits: Limits
    pool: Pool
    catalog: Catalog
    engine: Engine

    async def close(self) -> None:
        """Let go of tasks and threads."""
        await self.catalog.close()
        self.workers.close()
        self.loaders.shutdown(wait=False, cancel_futures=True)
        self.decoders.shutdown(wait=False, cancel_futures=True)
        self.access.close()


def build(settings: Settings) -> Parts:
    """Everything between the protocols and the disk.

    Raises:
        SettingsError: no registry is named or there, or the cache folder cannot be written.
        ValueError: the URL of a registry is of no known kind.
    """
    body_bytes, model_bytes = _budgets(settings)
    store = _store(settings)
    workers = Workers(_of_pod(settings.threads or quota.cpu_count(), settings))
    loaders = ThreadPoolExecutor(_LOADERS, thread_name_prefix="load")
    decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
    pool = Pool(store, workers, loaders, budget_bytes=model_bytes)
    named = settings.named_models
    access = Access(_given(settings))
    registries = _registries(settings, access)
    is_local = isinstance(registries["default"], LocalRegistry)
    catalog = Catalog(
        registries,
        pool,
        loaders,
        wanted=None if is_local and not named else [_wanted(m, settings) for m in named or ()],
        options=Options(trust=_trust(settings, None, ())),
        default_model=settings.default_model,
        on_demand=settings.on_demand,
        on_demand_match=settings.on_demand_match,
    )
    of_client = settings.client_max_in_flight
    limits = Limits(
        max_in_flight=_of_pod(settings.max_in_flight, settings),
        client_max_in_flight=None if of_client is None else _of_pod(of_client, settings),
        body_memory_bytes=body_bytes,
        max_body_bytes=settings.max_body_bytes,
    )
    engine = Engine(
        limits,
        catalog,
        decoders,
        timeout_s=settings.timeout_s,
        model_failure_status=settings.model_failure_status,
    )
    return Parts(store, workers, loaders, decoders, access, limits, pool, catalog, engine)


def create_app(
    settings: Settings, draining: Draining | None = None, siblings: Siblings | None = None
) -> Front:
    """The ASGI application; `siblings` are there when it is one of several. Raises: as `build`."""
    parts = build(settings)
    draining = draining or Draining()
    auth = _auth(settings)
    prometheus = Prometheus(lambda: _gauges(parts, parts.store.size_bytes()), siblings)
    access_log = AccessLog()
    exporters: list[Exporter] = [prometheus, access_log]

    lifespan = _lifespan(parts, auth, prometheus, access_log, has_siblings=siblings is not None)
    ids = IdSource()
    rest = FastAPI(
        title="aml-serve", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False, lifespan=lifespan,
    )  # fmt: skip
    rest.include_router(
        health.router(
            parts.catalog, auth, draining, prometheus.text, metrics_open=settings.metrics_open
        )
    )
    failures.answer_errors(rest, ids)

    def document() -> dict[str, Any]:
        base = get_openapi(title=rest.title, version=rest.version, routes=rest.routes)
        return openapi.describe(base, parts.catalog, with_keys=not auth.is_open)

    console.mount(rest, document, auth)
    score = ScoreEndpoint(parts.engine, parts.catalog, auth, ids)
    return Front(score, rest, exporters, draining)


def _auth(settings: Settings) -> Auth:
    tokens = None
    if settings.jwt_issuer:
        from app.auth.tokens import Tokens  # and with it PyJWT, only where there is an issuer

        tokens = Tokens(settings.jwt_issuer, settings.jwt_audience or (), settings.jwt_roles or ())
    keys = [key.get_secret_value() for key in settings.api_keys or ()]
    auth = Auth(keys, settings.api_keys_file, tokens)
    if auth.is_open:
        logger.warning("no API key is set: whoever reaches this server may score")
    return auth


def _lifespan(
    parts: Parts, auth: Auth, prometheus: Prometheus, access_log: AccessLog, *, has_siblings: bool
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    async def share() -> None:
        while True:
            prometheus.share(_gauges(parts, store_bytes=0))
            await asyncio.sleep(SHARE_S)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()  # what is imported stays: no collection need look at it, which takes 50 ms
        auth.start()
        parts.catalog.start()
        sharing = asyncio.create_task(share()) if has_siblings else None
        try:
            yield
        finally:
            if sharing is not None:
                sharing.cancel()
            auth.close()
            await parts.close()
            prometheus.share(_gauges(parts, store_bytes=0))
            access_log.flush()

    return lifespan


def create_server(
    settings: Settings, listeners: list[socket.socket], seat: Seat | None = None
) -> Server:
    """What `aml-serve serve` runs; with `seat` one of several workers.

    Raises: as `build`.
    """
    draining = Draining()
    siblings = acceptor = None
    if seat is not None:
        siblings = Siblings(Path(seat.folder), seat.worker)
        acceptor = Acceptor(listeners, Shares(seat.shares), seat.worker)
    return server(
        create_app(settings, draining, siblings),
        draining,
        listeners,
        drain_s=settings.drain_s,
        timeout_s=settings.timeout_s,
        acceptor=acceptor,
    )


def _of_pod(amount: int, settings: Settings) -> int:
    """The part of it that one worker has."""
    return max(1, amount // settings.workers)


def _budgets(settings: Settings) -> tuple[int, int]:
    """Bytes for bodies, bytes for models; of this process."""
    limit = quota.memory_bytes()
    bodies = settings.body_memory_bytes or limit // 10
    rest = max(0, limit - settings.workers * quota.resident_bytes() - bodies)
    models = settings.memory_bytes or int(0.8 * rest)
    return _of_pod(bodies, settings), _of_pod(models, settings)


def _store(settings: Settings) -> Store:
    store = Store(settings.cache_dir, settings.cache_bytes)
    try:
        store.open()
    except OSError as error:
        raise SettingsError(
            f"SERVE_CACHE_DIR is a path that cannot be written ({error.strerror}); "
            "allowed: a folder, or where one can be made"
        ) from error
    return store


def _given(settings: Settings) -> Given:
    azure = settings.azure
    if azure.has_older_names:
        logger.warning(
            "TENANT_ID, CLIENT_ID and CLIENT_SECRET are taken as AZURE_TENANT_ID, AZURE_CLIENT_ID "
            "and AZURE_CLIENT_SECRET, which other clients of Azure read"
        )
    return Given(**azure.told(), client=settings.azureml_client)


def _registries(settings: Settings, access: Access) -> dict[str, Registry]:
    """By name; the first is the default one, the only one that must be there at the start."""
    default = open_registry("default", settings.require_registry(), access, settings.identity)
    if isinstance(default, LocalRegistry):
        try:
            os.listdir(default.folder)
        except OSError as error:
            raise SettingsError(
                f"SERVE_REGISTRY is a path that cannot be read ({error.strerror}); "
                "allowed: a folder of models"
            ) from error
    registries: dict[str, Registry] = {"default": default}
    for name, registry in settings.registries.items():
        identity = registry.identity or settings.identity
        registries[name] = open_registry(name, registry.url, access, identity)
    return registries


def _trust(settings: Settings, registry: str | None, digests: Sequence[str]) -> Trust:
    """As the file says of the registry, else SERVE_TRUST, else by whose place it is."""
    place = settings.registries.get(registry or "")
    url = settings.require_registry() if place is None else place.url
    is_ours = "://" not in url or url.startswith(("file:", "azureml://workspace"))
    stated = settings.trust if place is None or place.trust is None else place.trust
    return Trust(stated or ("all" if is_ours else "pinned"), frozenset(digests))


def _wanted(model: ModelSettings, settings: Settings) -> Wanted:
    return Wanted(
        name=model.name,
        version=model.version,
        registry=model.registry or "",
        is_preloaded=model.preload,
        is_required=model.required,
        options=Options(
            is_pinned=model.pin,
            max_rows=model.batching.max_rows,
            threads=model.threads,
            timeout_s=model.timeout_s,
            trust=_trust(settings, model.registry, model.sha256),
        ),
    )


def _gauges(parts: Parts, store_bytes: int) -> Gauges:
    models = []
    for status in parts.catalog.status():
        told = ModelGauges(status.name, status.version, status.state is State.READY)
        if status.loaded is not None:
            loaded = status.loaded
            told = ModelGauges(
                name=status.name,
                version=status.version,
                is_ready=True,
                runtime=loaded.manifest.runtime,
                digest=loaded.digest,
                fetch_s=loaded.fetch_s,
                load_s=loaded.load_s,
                size_bytes=loaded.size_bytes,
            )
        models.append(told)
    unique = {(model.name, model.version): model for model in models}
    return Gauges(
        models=list(unique.values()),
        in_flight=parts.limits.in_flight,
        shed=parts.limits.shed,
        pool_bytes=parts.pool.size_bytes(),
        store_bytes=store_bytes,
        registry_errors=parts.catalog.registry_errors,
    )
