"""Probes, which get the truth at once, whatever the models are doing; and the metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from app import __version__
from app.auth import Auth
from app.catalog import Catalog, State, Status
from app.registries import Details


class Draining:
    """Whether the process has been told to stop; set once."""

    def __init__(self) -> None:
        self.has_begun = False


def router(
    catalog: Catalog,
    auth: Auth,
    draining: Draining,
    metrics: Callable[[], bytes],
    *,
    metrics_open: bool,
) -> APIRouter:
    """`/`, `/healthcheck`, `/livez`, `/readyz`, `/metrics`."""
    routes = APIRouter(tags=["health"])
    _add_alive(routes, catalog, auth)

    @routes.get(
        "/readyz",
        summary="Can requests be answered",
        description="With `?verbose`: each model with its state, step, reason and next try.",
        responses={
            401: {"description": "No credential, or one that is not valid, and `verbose`."},
            403: {"description": "A token without the role, and `verbose`."},
            503: {"description": "Not yet, or no more."},
        },
    )
    async def readyz(request: Request, verbose: str | None = None) -> JSONResponse:
        is_ready = catalog.is_ready and not draining.has_begun
        status = "draining" if draining.has_begun else "ready" if is_ready else "not ready"
        told: dict[str, Any] = {"status": status}
        if verbose is not None:
            await auth.verify(dict(request.headers.raw))
            told["models"] = [_told(s) for s in catalog.status()]
        return JSONResponse(told, 200 if is_ready else 503)

    @routes.get("/metrics", summary="For Prometheus", include_in_schema=False)
    async def scrape(request: Request) -> Response:
        if not metrics_open:
            await auth.verify(dict(request.headers.raw))
        return Response(metrics(), media_type="text/plain; version=0.0.4")

    return routes


def _add_alive(routes: APIRouter, catalog: Catalog, auth: Auth) -> None:
    @routes.get("/", response_class=HTMLResponse, summary="Is the process alive, for people")
    async def root() -> str:
        return "Healthy"

    @routes.get("/healthcheck", summary="Is the process alive, as older clients ask")
    async def healthcheck(request: Request) -> dict[str, Any]:
        told: dict[str, Any] = {"HealthStatus": "Okay"}
        if auth.knows(dict(request.headers.raw)):
            told |= {
                "WorkspaceDetails": json.dumps(dict(catalog.place)),
                "Version": __version__,
                "Models": [f"{s.name}:{s.version}" for s in catalog.status() if s.loaded],
            }
        return told

    @routes.get("/livez", summary="Is the process alive")
    async def livez() -> dict[str, str]:
        return {"status": "alive"}


def _told(status: Status) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": status.name,
        "version": status.version,
        "state": status.state,
        "required": status.is_required,
    }
    if status.state in (State.LOADING, State.FAILED):
        told["step"] = status.step
    if status.reason:
        told["reason"] = status.reason
    if status.stale:
        told["stale"] = status.stale
    if status.refused:
        told["refused"] = {"version": status.refused_version, "reason": status.refused}
    if status.not_reloaded:
        told["not_reloaded"] = status.not_reloaded
    if status.state is State.FAILED:
        told["next_try_s"] = round(status.next_try_s or 0.0, 1)
    if status.loaded is not None:
        loaded = status.loaded
        told |= {
            "runtime": loaded.manifest.runtime,
            "digest": loaded.digest,
            "schema": "derived" if loaded.schema.signature.declared is None else "declared",
            "checked": loaded.verdict.checked,
            "joining": loaded.verdict.joining,
            **_registered(loaded.details),
            "size_bytes": loaded.size_bytes,
            "size": loaded.size.source,
            "load_s": round(loaded.load_s, 3),
        }
        if loaded.acceleration.mode != "off":
            told["accelerated"] = loaded.acceleration.told()
    return told


def _registered(details: Details) -> dict[str, Any]:
    """What the registry tells of a version, as far as it does."""
    told = {
        "description": details.description,
        "stage": details.stage,
        "created_at": details.created_at,
        "tags": dict(details.tags),
        "properties": dict(details.properties),
    }
    return {key: value for key, value in told.items() if value}
