"""What a model takes and gives, as Swagger 2, OpenAPI 3.0.3 and 3.1.0.

The structure is that of azureml-inference-server-http 1.5.1, by which clients are generated; the
descriptions are our own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import NotFound
from app.protocols.score.definitions import Definitions

_VERSIONS: Final = {"2": "2", "2.0": "2", "3": "3", "3.0": "3", "3.1": "3.1"}
"""What may be asked for -> which it is."""
_FILES: Final = {
    "2": ("swagger.json", "swagger2.json"),
    "3": ("swagger3.json",),
    "3.1": ("swagger3.1.json",),
}
"""What takes the place of a document; the first that is there."""
_BEARER: Final = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "description": "Bearer, a space, and a key",
}
Json = dict[str, Any]


class Unreadable(Exception):
    """A document that is to take the place of ours is not JSON."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is told of it besides."""

    name: str = "ML service"
    version: str = "1.0"
    prefix: str = ""
    """Before each path; without slashes at its ends."""
    route: str = "/score"
    """Where the model is asked."""

    @property
    def paths(self) -> tuple[str, str, str]:
        """Of the health check, the model and the document."""
        prefix = f"/{self.prefix}" if self.prefix else ""
        document = "" if self.route == "/score" else self.route
        return f"{prefix}/", f"{prefix}{self.route}", f"{prefix}{document}/swagger.json"


@dataclass(frozen=True, slots=True)
class Swagger:
    """The documents of one model."""

    service: Service
    definitions: Definitions
    folder: Path | None = None
    """Where documents may lie that take the place of ours."""

    def text(self, asked: str | None) -> str:
        """JSON, of the version that is asked for. Blocking.

        Raises:
            NotFound: there is none.
            Unreadable: what takes its place is not JSON.
        """
        version = _VERSIONS.get("2" if asked is None else asked)
        own = self._own()
        known = [v for v in _FILES if v in own or v in self.definitions.versions]
        if version is None:
            raise NotFound(
                f"Swagger version [{asked}] is not valid. Supported versions: [2, 3, 3.1]."
            )
        if version not in known:
            raise NotFound(
                f"Swagger version [{version}] is not supported for the scoring script. "
                f"Supported swagger versions: [{', '.join(known)}]."
            )
        return json.dumps(own[version] if version in own else self._document(version))

    def _own(self) -> Json:
        """By version, those that lie in the folder."""
        found: Json = {}
        for version, names in _FILES.items():
            for name in names:
                path = None if self.folder is None else self.folder / name
                if path is not None and path.is_file():
                    found[version] = _read(path)
                    break
        return found

    def _document(self, version: str) -> Json:
        schemas = self.definitions.of(version)
        info = {
            "title": self.service.name,
            "description": f"What {self.service.name} takes and gives",
            "version": self.service.version,
        }
        if version == "2":
            return {
                "swagger": "2.0",
                "info": info,
                "schemes": ["https"],
                "consumes": ["application/json"],
                "produces": ["application/json"],
                "securityDefinitions": {"Bearer": _BEARER},
                "paths": self._paths(_two),
                "definitions": schemas,
            }
        return {
            "openapi": "3.0.3" if version == "3" else "3.1.0",
            "info": info,
            "security": [{"Bearer": []}],
            "paths": self._paths(_three),
            "components": {"schemas": schemas, "securitySchemes": {"Bearer": _BEARER}},
        }

    def _paths(self, routes: Callable[[], tuple[Json, Json, Json]]) -> Json:
        return dict(zip(self.service.paths, routes(), strict=True))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} is not JSON") from error


def _two() -> tuple[Json, Json, Json]:
    def ref(name: str) -> Json:
        return {"$ref": f"#/definitions/{name}"}

    def answers(description: str, **told: Any) -> Json:
        failed = {"description": "What went wrong", "schema": ref("ErrorResponse")}
        return {"200": {"description": description, **told}, "default": failed}

    text = {"type": "string"}
    alive = answers("It is", schema=text, examples={"application/json": "Healthy"})
    taken = {
        "name": "serviceInputPayload",
        "in": "body",
        "description": "What the model takes",
        "schema": ref("ServiceInput"),
    }
    version = {"name": "version", "in": "query", "required": False, "type": "integer"}
    return (
        _get("ServiceHealthCheck", "Is it alive", alive),
        {
            "post": {
                "operationId": "RunMLService",
                "description": "Ask the model",
                "security": [{"Bearer": []}],
                "parameters": [taken],
                "responses": answers("Its answer", schema=ref("ServiceOutput")),
            }
        },
        _get(
            "GetSwaggerSpec",
            "This document",
            answers("It", schema=text),
            [{**version, "enum": [2, 3]}],
        ),
    )


def _three() -> tuple[Json, Json, Json]:
    def of(media_type: str, schema: Json) -> Json:
        return {"content": {media_type: {"schema": schema}}}

    def ref(name: str) -> Json:
        return of("application/json", {"$ref": f"#/components/schemas/{name}"})

    def answers(description: str, content: Json) -> Json:
        failed = {"description": "What went wrong", **ref("ErrorResponse")}
        return {"200": {"description": description, **content}, "default": failed}

    text = {"type": "string"}
    schema = {"type": "integer", "enum": [2, 3]}
    return (
        _get(
            "ServiceHealthCheck",
            "Is it alive",
            answers("It is", of("text/plain", {**text, "example": "Healthy"})),
        ),
        {
            "post": {
                "operationId": "RunMLService",
                "description": "Ask the model",
                "security": [{"Bearer": []}],
                "requestBody": {"description": "What the model takes", **ref("ServiceInput")},
                "responses": answers("Its answer", ref("ServiceOutput")),
            }
        },
        _get(
            "GetSwaggerSpec",
            "This document",
            answers("It", of("text/plain", text)),
            [{"name": "version", "in": "query", "required": False, "schema": schema}],
        ),
    )


def _get(name: str, about: str, answers: Json, parameters: list[Json] | None = None) -> Json:
    asked = {} if parameters is None else {"parameters": parameters}
    return {"get": {"operationId": name, "description": about, **asked, "responses": answers}}
