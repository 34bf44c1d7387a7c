"""`/swagger.json` of each model that is served."""

from __future__ import annotations

import asyncio
from typing import Final, cast
from urllib.parse import parse_qs, quote

from app.catalog import Catalog
from app.deadline import Deadline
from app.errors import ModelInvalid, NotFound
from app.pool import Loaded
from app.protocols.score.codec import JSON
from app.protocols.score.definitions import Definitions, OfScript, OfSignature
from app.protocols.score.swagger import Service, Swagger, Unreadable
from app.telemetry import Trace
from app.tensors import Apart, Reply

_NAMES_TOLD: Final = 20


class Documents:
    """Those of one server."""

    def __init__(self, catalog: Catalog, timeout_s: float) -> None:
        """`timeout_s`: what a model that has to be loaded for its document may take."""
        self._catalog = catalog
        self._timeout_s = timeout_s

    async def reply(
        self, name: str | None, version: str | None, query: bytes, trace: Trace
    ) -> Reply:
        """The document of a model, loaded if need be; without a name that of the default one.

        Raises:
            NotFound: no model is named among several, there is none, or no such document of it.
            ServingError: the model cannot be had, as `Catalog.find`.
        """
        route = _route(name, version)
        name = name or self._default()
        trace.enter("model")
        loaded = self._catalog.get(name, version)
        if loaded is None:
            finding = self._catalog.find(name, version)
            loaded = await Deadline(self._timeout_s, trace).bound(finding)
        trace.enter("encode")
        asked = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("version", [None])
        text = await asyncio.to_thread(_text, loaded, route, asked[0])
        return Reply(200, [JSON, *loaded.headers], text.encode())

    def _default(self) -> str:
        name = self._catalog.default_name()
        if name is None:
            names = ", ".join(self._catalog.names()[:_NAMES_TOLD]) or "none yet"
            raise NotFound(f"name a model, as in /score/NAME/swagger.json; served are: {names}")
        return name


def _route(name: str | None, version: str | None) -> str:
    """Where the model is asked that the request for its document names so."""
    if not name:
        return "/score"
    return f"/score/{quote(name)}" + (f"/versions/{quote(version)}" if version else "")


def _text(loaded: Loaded, route: str, asked: str | None) -> str:
    """Blocking: reads the folder. Raises: NotFound, ModelInvalid."""
    signature = loaded.schema.signature
    definitions: Definitions = OfSignature(signature)
    if signature.kind == "raw":
        definitions = OfScript(cast(Apart, loaded.model).swagger)
    service = Service(loaded.ref.name, loaded.ref.version, route=route)
    try:
        return Swagger(service, definitions, loaded.manifest.folder).text(asked)
    except Unreadable as error:
        raise ModelInvalid(f"in the model folder {error}") from error
