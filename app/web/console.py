"""`/docs` and `/openapi.json`; the page's scripts come from a package, not from the internet."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from app.auth import Auth

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>aml-serve</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" href="docs/assets/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script>
let key = "";  // models are listed to callers with a key: read the document again with it
const withKey = () => ({statePlugins: {auth: {wrapActions: {
  authorize: (before, system) => (given) => {
    const done = before(given);
    key = Object.values(given)[0].value;
    system.specActions.download("openapi.json");
    return done;
  },
}}}});
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  plugins: [withKey],
  requestInterceptor: (request) => {
    if (key && request.loadSpec) request.headers["x-api-key"] = key;
    return request;
  },
});
</script>
</body>
</html>
"""


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
        return HTMLResponse(_PAGE)

    app.include_router(routes)
    app.mount("/docs/assets", StaticFiles(directory=_assets()), name="assets")


def _assets() -> Path:
    """Where Swagger UI lies, found without importing the package that brings it."""
    spec = find_spec("fastapi_offline")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "static"
