"""`/docs` and `/openapi.json`; the page's scripts come from a package, not from the internet."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from app.auth import Auth


def mount(app: FastAPI, document: Callable[[], dict[str, Any]], auth: Auth) -> None:
    """Add the routes to `app`.

    Args:
        document: the OpenAPI document of this moment, with every served model; shown to callers
            who may see names of models, and without their paths to others.
    """
    routes = APIRouter(include_in_schema=False)

    @routes.get("/openapi.json")
    async def openapi(request: Request) -> JSONResponse:
        told = document()
        if not auth.knows(dict(request.headers.raw)):
            shown = {path: item for path, item in told["paths"].items() if "x-model" not in item}
            told = {**told, "paths": shown}
        return JSONResponse(told)

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title="aml-serve",
            swagger_js_url="docs/assets/swagger-ui-bundle.js",
            swagger_css_url="docs/assets/swagger-ui.css",
            swagger_favicon_url="docs/assets/favicon.png",
        )

    app.include_router(routes)
    app.mount("/docs/assets", StaticFiles(directory=_assets()), name="assets")


def _assets() -> Path:
    """Where Swagger UI lies, found without importing the package that brings it."""
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "static"
