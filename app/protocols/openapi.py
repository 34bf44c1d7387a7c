"""The scoring routes in OpenAPI 3.1: one path for each served model, with its columns."""

from __future__ import annotations

from typing import Any, Final

from app.catalog import Catalog
from app.pool import Loaded
from app.protocols.score.refusals import ENVELOPE
from app.schema import bodies
from app.schema.dialect import Dialect

_ERRORS: Final = {
    "400": "The body cannot be read",
    "401": "No credential, or one that is not known or not valid",
    "403": "The token lacks the role",
    "404": "No such model or document",
    "413": "The body is too large",
    "415": "The content type is not taken",
    "422": "The payload does not fit the model's schema",
    "429": "The caller's own limit",
    "431": "An id header is too long",
    "500": "An error of the server",
    "502": "The model's own code raised",
    "503": "Overloaded, or the model is not there",
    "504": "The deadline has passed",
}

_KEYS: Final = {
    "securitySchemes": {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    },
    "schemas": {"ScoringError": ENVELOPE},
}


def describe(document: dict[str, Any], catalog: Catalog, *, with_keys: bool) -> dict[str, Any]:
    """`document`, with the scoring routes and every model that is loaded now."""
    paths: dict[str, Any] = {"/score": _any_model(), "/swagger.json": {"get": _SWAGGER}}
    schemas: dict[str, Any] = {**_KEYS["schemas"]}
    for status in catalog.status():
        if status.loaded is not None:
            item, parts = _one_model(status.loaded)
            swagger = {"get": _SWAGGER, "x-model": item["x-model"]}
            path = f"/score/{status.name}/versions/{status.loaded.ref.version}"
            paths |= {path: item, f"{path}/swagger.json": swagger}
            schemas |= parts
            if status.name in catalog.names():
                paths.setdefault(f"/score/{status.name}", item)
                paths.setdefault(f"/score/{status.name}/swagger.json", swagger)
    told = {**document, "paths": {**document["paths"], **paths}}
    components = document.get("components", {})
    told["components"] = {
        **components,
        "schemas": {**components.get("schemas", {}), **schemas},
    }
    if with_keys:
        told["components"]["securitySchemes"] = _KEYS["securitySchemes"]
        told["security"] = [{"bearer": []}, {"key": []}]
    return told


def _any_model() -> dict[str, Any]:
    named = [
        {"name": name, "in": "query", "schema": {"type": "string"}, "required": False}
        for name in ("model_name", "model_version")
    ]
    body = {
        "type": "object",
        "properties": {
            "data": {"description": "One record, or a batch of records."},
            "outputs": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "model_name": {"type": "string"},
        },
        "required": ["data"],
    }
    post = _post("Score with the model that the query or the body names", body, {}, named)
    return {"get": _USAGE, "post": post}


def _one_model(loaded: Loaded) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its path, and the schemas that this refers to."""
    signature, ref = loaded.schema.signature, loaded.ref
    about = loaded.manifest.description or f"Score with {ref}"
    if signature.kind == "raw":
        post = _post(about, {"description": "What the scoring script takes."}, {}, [])
        return {"get": _USAGE, "post": post, "x-model": str(ref)}, {}
    dialect = Dialect("3.1", signature.declared or {}, f"{ref.name}.{ref.version}.")
    body = dialect.of(bodies.request(signature))
    post = _post(about, body, bodies.example(signature), [])
    if loaded.details.description:
        post["description"] = loaded.details.description
    return {"get": _USAGE, "post": post, "x-model": str(ref)}, dialect.parts()


def _post(
    summary: str, body: dict[str, Any], example: dict[str, Any], parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": body}
    if example:
        content["example"] = example
    results = {
        "type": "object",
        "properties": {"results": {"description": "A result, or a list of one for each record."}},
        "required": ["results"],
    }
    return {
        "tags": ["score"],
        "summary": summary,
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "200": {
                "description": "The prediction",
                "content": {"application/json": {"schema": results}},
            },
            **_errors(*_ERRORS),
        },
    }


def _errors(*statuses: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ScoringError"}
    content = {"application/json": {"schema": schema}}
    return {s: {"description": _ERRORS[s], "content": content} for s in statuses}


_USAGE: Final = {
    "tags": ["score"],
    "summary": "How to call, and what is served",
    "responses": {
        "200": {
            "description": "A line of help, and names",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        **_errors("401", "403", "431"),
    },
}

_SWAGGER: Final = {
    "tags": ["score"],
    "summary": "What the model takes and gives, for generators of clients",
    "parameters": [
        {
            "name": "version",
            "in": "query",
            "required": False,
            "schema": {"enum": ["2", "2.0", "3", "3.0", "3.1"], "default": "2"},
            "description": "Of Swagger or OpenAPI",
        }
    ],
    "responses": {
        "200": {
            "description": "Swagger 2, OpenAPI 3.0 or 3.1",
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        **_errors("401", "403", "404", "431", "503"),
    },
}
