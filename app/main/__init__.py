"""`create_app(settings)`: the only place where objects are built and meet.

`parts` is what lies below the protocols, `sources` where models come from, `gauges` tells of both.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi

from app import __version__
from app.auth import Auth
from app.catalog import Catalog
from app.catalog.desired import DesiredFile
from app.ids import IdSource
from app.main.gauges import gauges
from app.main.parts import Parts, build, open_store
from app.main.watch import Watch
from app.protocols import admin, failures, openapi
from app.protocols.admin import Admin
from app.protocols.cors import Cors
from app.protocols.dropin import DropIn
from app.protocols.score import ScoreEndpoint
from app.protocols.score.documents import Documents
from app.protocols.score.swagger import Service
from app.settings import Settings
from app.supervisor import Seat
from app.telemetry import Exporter
from app.telemetry.insights import Feed
from app.telemetry.insights import exporters as exporters_of
from app.telemetry.logs import AccessLog
from app.telemetry.prometheus import Prometheus
from app.telemetry.siblings import SHARE_S, Siblings
from app.web import console, health
from app.web.acceptor import Acceptor
from app.web.front import Endpoint, Front
from app.web.health import Draining
from app.web.listeners import Shares
from app.web.server import Server, server

__all__ = ["Parts", "build", "create_app", "create_server", "open_store"]

logger = logging.getLogger(__name__)


def create_app(
    settings: Settings, draining: Draining | None = None, siblings: Siblings | None = None
) -> Front:
    """The ASGI application; `siblings` are there when it is one of several. Raises: as `build`."""
    parts = build(settings)
    draining = draining or Draining()
    auth = _auth(settings)
    prometheus = Prometheus(lambda: gauges(parts, parts.store.size_bytes()), siblings)
    access_log = AccessLog()
    feeds = _feeds(settings)
    exporters: list[Exporter] = [prometheus, access_log, *feeds]
    if parts.outcomes is not None:
        exporters.append(parts.outcomes)

    async def end() -> None:
        auth.close()
        await parts.close()
        prometheus.share(gauges(parts, store_bytes=0))
        access_log.flush()
        for feed in feeds:
            await asyncio.to_thread(feed.close)

    async def share() -> None:
        while True:
            prometheus.share(gauges(parts, store_bytes=0))
            await asyncio.sleep(SHARE_S)

    desired = DesiredFile(settings.cache_dir / "desired.json")
    watch = Watch(settings, parts.catalog, desired)
    background = [watch.run] if siblings is None else [watch.run, share]
    lifespan = _lifespan(parts, auth, background, end)
    rest = FastAPI(
        title="aml-serve", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False, lifespan=lifespan,
    )  # fmt: skip
    of_health = health.router(
        parts.catalog, auth, draining, prometheus.text, metrics_open=settings.metrics_open
    )
    of_admins = Admin(parts.catalog, desired, watch.look, _admins(settings))
    ids = IdSource()
    _route(rest, [of_health, admin.router(of_admins)], parts.catalog, auth, ids)
    return Front(_endpoint(settings, parts, auth, ids), rest, exporters, draining)


def _endpoint(settings: Settings, parts: Parts, auth: Auth, ids: IdSource) -> Endpoint:
    """Of scoring; of all that another server answers, where this one stands in for it."""
    given, cors = settings.drop_in, Cors(settings.cors_origins)
    if given is None:
        documents = Documents(parts.catalog, settings.timeout_s)
        shown = cors if settings.cors_origins else None
        return ScoreEndpoint(parts.engine, parts.catalog, auth, ids, documents, shown)
    service = Service(given.service, given.version, given.prefix)
    return DropIn(parts.engine, parts.catalog, auth, ids, cors, service)


def _route(
    rest: FastAPI, routers: Iterable[APIRouter], catalog: Catalog, auth: Auth, ids: IdSource
) -> None:
    """All routes but those of scoring, how they fail, and the pages that describe all."""
    for router in routers:
        rest.include_router(router)
    failures.answer_errors(rest, ids)

    def document() -> dict[str, Any]:
        base = get_openapi(title=rest.title, version=rest.version, routes=rest.routes)
        return openapi.describe(base, catalog, with_keys=not auth.is_open)

    console.mount(rest, document, auth)


def _auth(settings: Settings) -> Auth:
    tokens = None
    if settings.jwt_issuer:
        from app.auth.tokens import Tokens  # and with it PyJWT, only where there is an issuer

        tokens = Tokens(settings.jwt_issuer, settings.jwt_audience or (), settings.jwt_roles or ())
    has_others = settings.api_keys or settings.api_keys_file or settings.jwt_issuer
    admin_keys = settings.admin_keys if has_others else None  # alone they close nothing else
    given = (*(settings.api_keys or ()), *(admin_keys or ()))
    keys = [key.get_secret_value() for key in given]
    auth = Auth(keys, settings.api_keys_file, tokens)
    if auth.is_open:
        logger.warning("no API key is set: whoever reaches this server may score")
    return auth


def _admins(settings: Settings) -> Auth:
    """Who may use the admin routes; open: nobody."""
    return Auth([key.get_secret_value() for key in settings.admin_keys or ()], None)


def _feeds(settings: Settings) -> list[Feed]:
    """What sends traces, where they are to go anywhere."""
    insights, sent = settings.insights, settings.insights.connection_string
    connection = None if sent is None else sent.get_secret_value()
    return exporters_of(
        settings.telemetry, connection, insights.otlp_endpoint, insights.service_name
    )


def _lifespan(
    parts: Parts,
    auth: Auth,
    background: Sequence[Callable[[], Coroutine[None, None, None]]],
    end: Callable[[], Awaitable[None]],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gc.collect()
        gc.freeze()  # what is imported stays: no collection need look at it, which takes 50 ms
        auth.start()
        parts.crashes.watch()
        await parts.tables.start()
        parts.catalog.start()
        tasks = [asyncio.create_task(run()) for run in background]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await end()

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
