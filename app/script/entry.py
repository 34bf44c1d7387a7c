"""A scoring script: which of the three kinds its `run` is, and what that takes of a request."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from .request import Request

Kind = Literal["plain", "schema", "raw"]
_HEADERS = "request_headers"


class Unfit(Exception):
    """The script has not what a scoring script must have."""


class Refused(Exception):
    """A request that `run` is not asked with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Entry:
    """A script in memory; `init` has not been called yet."""

    def __init__(self, module: ModuleType) -> None:
        """Raises: Unfit."""
        for name in ("init", "run"):
            if not hasattr(module, name):
                raise Unfit(f"it has no {name}() function")
        driven = getattr(module, "driver_module", None)  # a script around the script, of some SDKs
        has_driven = isinstance(driven, ModuleType) and hasattr(driven, "run")
        self.init: Callable[[], Any] = module.init
        self.run: Callable[..., Any] = driven.run if has_driven and driven else module.run
        parameters = list(inspect.signature(self.run).parameters.values())
        allowed = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        if any(parameter.kind not in allowed for parameter in parameters):
            raise Unfit("run() takes positional-only arguments, *args or **kwargs")
        self.takes_headers = any(parameter.name == _HEADERS for parameter in parameters)
        self.parameters = [each for each in parameters if each.name != _HEADERS]
        if not self.parameters:
            raise Unfit("run() takes no argument for the input")
        self.kind = _kind(self.run)

    def arguments(self, request: Request) -> dict[str, Any]:
        """What `run` is called with. Raises: Refused."""
        given = self._input(request)
        if self.takes_headers:
            given[_HEADERS] = request.titled_headers()
        return given

    def _input(self, request: Request) -> dict[str, Any]:
        first = self.parameters[0].name
        if self.kind == "raw":
            return {first: request.whole()}
        if request.method == "GET":
            asked = request.arguments()
            return (
                _chosen(self.parameters, asked)
                if self.kind == "schema"
                else {first: json.dumps(asked)}
            )
        if request.method != "POST":
            raise Refused(405, "Method not allowed")
        if self.kind == "schema":
            return _chosen(self.parameters, _document(request))
        try:
            return {first: request.body.decode()}
        except UnicodeDecodeError as error:
            raise Refused(400, f"Input cannot be decoded as UTF-8: {error}") from None


def load(file: Path) -> Entry:
    """The script of `file`; what its code raises is raised on. Raises: Unfit."""
    spec = importlib.util.spec_from_file_location("entry_module", file)
    if spec is None or spec.loader is None:
        raise Unfit("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Entry(module)


def _kind(run: Callable[..., Any]) -> Kind:
    """By what decorates it, as far as the script has imported that."""
    requests = sys.modules.get(f"{__package__}.aml_request")
    is_raw = requests is not None and bool(requests.taken)
    decorated = sys.modules.get("inference_schema.schema_util")
    has_schema = decorated is not None and bool(decorated.is_schema_decorated(run))
    if is_raw and has_schema:
        raise Unfit("run() is decorated with both @rawhttp and @input_schema")
    return "raw" if is_raw else "schema" if has_schema else "plain"


def _document(request: Request) -> Mapping[str, Any]:
    media_type = request.header("content-type").split(";")[0].strip().lower()
    is_json = media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
    if not is_json:
        raise Refused(415, "Expects Content-Type to be application/json")
    try:
        document = json.loads(request.body)
    except json.JSONDecodeError as error:
        if request.body:
            raise Refused(400, f"POST body could not be decoded as JSON: {error}") from None
        raise Refused(400, "POST body is empty. Expecting a JSON dictionary.") from None
    if not isinstance(document, dict):
        raise Refused(400, "POST body should be a JSON dictionary.")
    return document


def _chosen(parameters: Iterable[inspect.Parameter], document: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for parameter in parameters:
        value = document.get(parameter.name, parameter.default)
        if value is inspect.Parameter.empty:
            raise Refused(400, f"A value is not provided for the {parameter.name!r} parameter.")
        found[parameter.name] = value
    return found
