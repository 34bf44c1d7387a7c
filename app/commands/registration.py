"""`models register`: what is registered of a path, and that it could be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app import manifest
from app.commands.staging import staged
from app.commands.tables import waiting
from app.errors import ModelInvalid
from app.main import sources
from app.registries import Details, Refused, is_name, open_registrar
from app.settings import Settings
from app.telemetry import logs


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be registered."""

    path: Path
    """A file or a folder."""
    name: str
    version: str | None
    """None: the next number."""
    description: str
    tags: Mapping[str, str]
    is_forced: bool
    """Also what could not be served."""


def register(settings: Settings, request: Request) -> str:
    """Its name and version now.

    Raises:
        ValueError: the path, name or version cannot be one, or nothing is registered there.
        Refused: it could not be served, or the registry does not take it.
        RegistryUnavailable: the registry cannot be written now.
    """
    logs.configure("error", "text")
    _check(request)
    access = sources.access(settings)
    place = settings.require_registry()
    registrar = open_registrar(place.url, access, place.identity or settings.identity)
    try:
        with staged(request.path, request.name) as folder:
            details = _details(request, folder)
            source = folder / request.path.name if request.path.is_file() else folder
            with waiting(f"{request.name} is registered"):
                version = registrar.register(request.name, source, request.version, details)
    finally:
        access.close()
    return f"{request.name}:{version}"


def _check(request: Request) -> None:
    for option, text in (("--name", request.name), ("--version", request.version)):
        if text is not None and (not is_name(text) or text.startswith(".")):
            raise ValueError(f"{option} is {text!r}; allowed: letters, digits, '.', '_' and '-'")
    if request.version == "latest":
        raise ValueError("--version is 'latest', which always means the newest; allowed: a number")
    if not request.path.exists():
        raise ValueError(f"PATH: there is no {request.path}")


def _details(request: Request, folder: Path) -> Details:
    """As asked for, else by the manifest; with the digest that each load compares."""
    description, tags = request.description, dict(request.tags)
    try:
        stated = manifest.read(folder)
    except ModelInvalid as error:
        if not request.is_forced:
            raise Refused(
                f"{request.path} could not be served: {error}; --force registers it anyway"
            ) from error
    else:
        description, tags = description or stated.description, {**stated.tags, **tags}
    return Details(
        description=description, tags=tags, properties={"sha256": manifest.digest(folder)}
    )
