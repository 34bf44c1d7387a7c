"""Admin routes: load, unload and refresh models, set labels and shares of the traffic.

Each writes what is desired to a file that all workers of the pod read within a second, and that a
restart finds again; the answer comes when it holds in the worker that was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Request

from app.auth import Auth
from app.catalog import Catalog
from app.catalog.desired import Desired, DesiredFile
from app.errors import BadRequest, Forbidden, ModelUnavailable
from app.registries import is_name

Name = Annotated[str, Path(description="As registered.")]
Version = Annotated[str | None, Body(embed=True, description="None: the newest.")]
Labels = Annotated[dict[str, str], Body(description="Label -> version; in place of those before.")]
Shares = Annotated[
    dict[str, float], Body(description="Version -> share; in place of those before. Empty: none.")
]
Told = dict[str, Any]

_MOST: Final = 1e9
_REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    400: {"description": "A name, a version or a share that cannot be one."},
    401: {"description": "No admin key, or one that is not known."},
    403: {"description": "No admin key is configured."},
    404: {"description": "No such model or version."},
    503: {"description": "The model cannot be served; the message says why."},
}


@dataclass(frozen=True, slots=True)
class Admin:
    """The routes; `look` lets what was written hold in this worker, `admins` knows admin keys."""

    catalog: Catalog
    desired: DesiredFile
    look: Callable[[], Awaitable[None]]
    admins: Auth

    async def load(self, request: Request, name: Name, version: Version = None) -> Told:
        """Serve a model, or one more version of it."""
        await self._verify(request, name, version)
        chosen = None if version == "latest" else version
        await self.catalog.resolve(name, chosen)
        await self._change(name, lambda desired: _with(desired, chosen))
        await self.catalog.find(name, chosen)
        return self._told(name)

    async def unload(self, request: Request, name: Name) -> Told:
        """Serve no version of a model, whoever asks."""
        await self._verify(request, name)
        await self._change(name, lambda d: replace(d, loaded=(), is_unloaded=True))
        return self._told(name)

    async def refresh(self, request: Request, name: Name) -> Told:
        """Look for a newer version; try also one that was refused."""
        await self._verify(request, name)
        await self._change(name, lambda d: replace(d, refreshes=d.refreshes + 1))
        await self.catalog.refresh(name, is_asked_for=True)
        return self._told(name)

    async def labels(self, request: Request, name: Name, labels: Labels) -> Told:
        """Name versions, in place of the labels before."""
        await self._verify(request, name, *labels, *labels.values())
        await self._change(name, lambda desired: replace(desired, labels=labels))
        return self._told(name)

    async def traffic(self, request: Request, name: Name, shares: Shares) -> Told:
        """Share the requests that name no version, in place of the shares before."""
        await self._verify(request, name, *shares)
        if not all(0 <= share < _MOST for share in shares.values()):
            raise BadRequest("a share is a number from 0")
        for version in shares:
            await self.catalog.find(name, version)  # what cannot be loaded is to have no traffic
        await self._change(name, lambda desired: replace(desired, traffic=shares))
        return self._told(name)

    async def _verify(self, request: Request, *names: str | None) -> None:
        if self.admins.is_open:
            raise Forbidden("no admin key is configured (SERVE_ADMIN_KEYS)")
        await self.admins.verify(dict(request.headers.raw))
        if not all(name is None or is_name(name) for name in names):
            raise BadRequest("names, versions and labels are letters, digits, '.', '_' and '-'")

    async def _change(self, name: str, change: Callable[[Desired], Desired]) -> None:
        try:
            await asyncio.to_thread(self.desired.change, name, change)
        except OSError as error:
            text = f"SERVE_CACHE_DIR cannot be written ({error.strerror})"
            raise ModelUnavailable(text) from error
        await self.look()

    def _told(self, name: str) -> Told:
        found = {s.version: s.state for s in self.catalog.status() if s.name == name}
        versions = [{"version": version, "state": state} for version, state in found.items()]
        return {"name": name, "versions": versions}


def router(admin: Admin) -> APIRouter:
    """`/admin/models/{name}/...`."""
    routes = APIRouter(prefix="/admin/models/{name}", tags=["admin"])
    for method, action in (
        ("POST", admin.load),
        ("POST", admin.unload),
        ("POST", admin.refresh),
        ("PUT", admin.labels),
        ("PUT", admin.traffic),
    ):
        summary = (action.__doc__ or "").strip()
        routes.add_api_route(
            f"/{action.__name__}", action, methods=[method], summary=summary, responses=_REFUSED
        )
    return routes


def _with(desired: Desired, version: str | None) -> Desired:
    loaded = tuple(dict.fromkeys([*desired.loaded, version]))
    return replace(desired, loaded=loaded, is_unloaded=False)
