"""`create_app(settings)`: the only place where objects are built and meet."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from app import __version__, quota
from app.auth import Auth
from app.batching import Workers
from app.catalog import Catalog, State, Wanted
from app.engine import Engine
from app.errors import MethodNotAllowed, NotFound, ServingError
from app.ids import IdSource
from app.limits import Limits
from app.pool import Options, Pool
from app.protocols import openapi
from app.protocols.score import ScoreEndpoint, refusal
from app.registries import Registry, open_registry
from app.registries.local import LocalRegistry
from app.settings import ModelSettings, Settings, SettingsError
from app.store import Store
from app.telemetry import Exporter, Trace
from app.telemetry.logs import AccessLog
from app.telemetry.prometheus import Gauges, ModelGauges, Prometheus
from app.web import console, health
from app.web.front import Front
from app.web.health import Draining
from app.web.server import Server, listen, server

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


def build(settings: Settings) -> Parts:
    """Everything between the protocols and the disk.

    Raises:
        SettingsError: no registry is named or there, or the cache folder cannot be written.
        ValueError: the URL of a registry is of no known kind.
    """
    body_bytes, model_bytes = _budgets(settings)
    store = _store(settings)
    workers = Workers(settings.threads or quota.cpu_count())
    loaders = ThreadPoolExecutor(_LOADERS, thread_name_prefix="load")
    decoders = ThreadPoolExecutor(_DECODERS, thread_name_prefix="decode")
    pool = Pool(store, workers, loaders, budget_bytes=model_bytes)
    named = settings.named_models
    catalog = Catalog(
        _registries(settings),
        pool,
        loaders,
        wanted=None if named is None else [_wanted(model) for model in named],
        default_model=settings.default_model,
        on_demand=settings.on_demand,
        on_demand_match=settings.on_demand_match,
    )
    limits = Limits(
        max_in_flight=settings.max_in_flight,
        client_max_in_flight=settings.client_max_in_flight,
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
    return Parts(store, workers, loaders, decoders, limits, pool, catalog, engine)


def create_app(settings: Settings, draining: Draining | None = None) -> Front:
    """The ASGI application. Raises: as `build`."""
    parts = build(settings)
    draining = draining or Draining()
    auth = Auth([key.get_secret_value() for key in settings.api_keys or ()], settings.api_keys_file)
    if auth.is_open:
        logger.warning("no API key is set: whoever reaches this server may score")
    prometheus = Prometheus(lambda: _gauges(parts))
    access_log = AccessLog()
    exporters: list[Exporter] = [prometheus, access_log]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()  # what is imported stays: no collection need look at it, which takes 50 ms
        parts.catalog.start()
        try:
            yield
        finally:
            await parts.close()
            access_log.flush()

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
    _answer_errors(rest, ids)

    def document() -> dict[str, Any]:
        base = get_openapi(title=rest.title, version=rest.version, routes=rest.routes)
        return openapi.describe(base, parts.catalog, with_keys=not auth.is_open)

    console.mount(rest, document, auth)
    score = ScoreEndpoint(parts.engine, parts.catalog, auth, ids)
    return Front(score, rest, exporters, draining)


def create_server(settings: Settings) -> Server:
    """What `aml-serve serve` runs; its address is taken already.

    Raises:
        SettingsError: as `build`, or the address cannot be taken. ValueError: as `build`.
    """
    try:
        listeners = listen(settings.host, settings.port)
    except OSError as error:
        raise SettingsError(
            f"SERVE_HOST and SERVE_PORT name an address that cannot be listened on "
            f"({settings.host}:{settings.port}: {error.strerror}); allowed: a free one"
        ) from error
    draining = Draining()
    return server(
        create_app(settings, draining),
        draining,
        listeners,
        drain_s=settings.drain_s,
        timeout_s=settings.timeout_s,
    )


def _budgets(settings: Settings) -> tuple[int, int]:
    """Bytes for bodies, bytes for models."""
    limit = quota.memory_bytes()
    bodies = settings.body_memory_bytes or limit // 10
    rest = max(0, limit - quota.resident_bytes() - bodies)
    return bodies, settings.memory_bytes or int(0.8 * rest)


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


def _registries(settings: Settings) -> dict[str, Registry]:
    """By name; the first is the default one, the only one that must be there at the start."""
    default = open_registry("default", settings.require_registry())
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
        registries[name] = open_registry(name, registry.url)
    return registries


def _wanted(model: ModelSettings) -> Wanted:
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
        ),
    )


def _gauges(parts: Parts) -> Gauges:
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
        store_bytes=parts.store.size_bytes(),
        registry_errors=parts.catalog.registry_errors,
    )


def _answer_errors(app: FastAPI, ids: IdSource) -> None:
    """The error envelope of the scoring family, for the routes that FastAPI serves."""

    def answered(request: Request, error: ServingError) -> Response:
        headers = dict(request.headers.raw)
        given = ids.of(headers)
        trace = Trace(request.method)
        trace.request_id = given.request_id.decode("latin-1")
        reply = refusal(error, trace, headers)
        response = Response(reply.body if isinstance(reply.body, bytes) else b"", reply.status)
        length = (b"content-length", b"%d" % len(response.body))
        response.raw_headers = [*reply.headers, *given.headers(), length]
        return response

    @app.exception_handler(ServingError)
    async def deliberate(request: Request, error: ServingError) -> Response:
        return answered(request, error)

    @app.exception_handler(HTTPException)
    async def of_routing(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            message = f"{request.method} is not taken here"
            return answered(request, MethodNotAllowed(message, allow="GET, HEAD"))
        return answered(request, NotFound("no such route; see /docs"))

    @app.exception_handler(Exception)
    async def bug(request: Request, _: Exception) -> Response:  # the server logs its traceback
        answer = answered(request, ServingError("an error of the server; its log has it"))
        logger.error("a bug; request id %s", answer.headers.get("x-request-id"))
        return answer
