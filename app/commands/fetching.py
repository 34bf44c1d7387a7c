"""`models pull`: models fetched ahead of time, several at once, each with its outcome."""

from __future__ import annotations

import shutil
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import typer

from app import verified
from app.catalog import Wanted
from app.commands.tables import progress
from app.errors import ServingError
from app.main import open_store, sources
from app.registries import Progress, Refused, Registry
from app.registries.local import LocalRegistry, publish
from app.settings import ModelSettings, Settings
from app.settings.values import ModelChoice
from app.store import Store
from app.telemetry import logs
from app.tensors import ModelRef

_AT_ONCE: Final = 4
"""Models that are fetched at the same time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one model."""

    name: str
    """With its version, as far as that was found."""
    folder: Path | None = None
    reason: str = ""


def pull(settings: Settings, model: str | None, to: Path | None) -> bool:
    """Fetch `model`, or with none all that are to be preloaded; whether all are here now.

    Args:
        to: a registry folder that gets them as NAME/VERSION/; None is the store.

    Raises:
        ValueError: nothing is named, or wrongly.
    """
    logs.configure("error", "text")
    access = sources.access(settings)
    try:
        registries = sources.registries(settings, access)
        wanted = _wanted(settings, model, registries["default"])
        store = open_store(settings)
        with progress() as begin, ThreadPoolExecutor(_AT_ONCE) as threads:
            asked = [
                threads.submit(
                    _pull, each, registries[each.registry or "default"], store, to, begin(str(each))
                )
                for each in wanted
            ]
            outcomes = [each.result() for each in asked]
    finally:
        access.close()
    for each in outcomes:
        typer.echo(
            f"{each.name}: {each.reason}" if each.reason else f"{each.name}  {each.folder}",
            err=bool(each.reason),
        )
    return not any(each.reason for each in outcomes)


def _wanted(settings: Settings, model: str | None, default: Registry) -> list[Wanted]:
    if model is not None:
        chosen = ModelChoice.parse(model)
        named = ModelSettings(name=chosen.name, version=chosen.version)
        listed = settings.named_models or ()
        known = next(
            (m for m in listed if (m.name, m.version) == (named.name, named.version)), None
        )
        return [sources.wanted(known or named, settings)]
    if settings.named_models is not None:
        return [sources.wanted(m, settings) for m in settings.named_models if m.preload]
    if not isinstance(default, LocalRegistry):
        raise ValueError(
            "nothing is named to be pulled: give NAME[:VERSION] or --config FILE, or set "
            "SERVE_MODELS"
        )
    return [sources.wanted(ModelSettings(name=name), settings) for name in default.names()]


def _pull(
    wanted: Wanted, registry: Registry, store: Store, to: Path | None, told: Progress
) -> Outcome:
    """In a thread."""
    name = str(wanted)
    try:
        ref = store.resolve(wanted.name, wanted.version, registry)
        name = f"{ref.name}:{ref.version}"
        place = _in_store if to is None else partial(_in_folder, to)
        return Outcome(name, place(ref, registry, store, wanted, told))
    except ServingError as error:
        return Outcome(name, reason=error.message)
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return Outcome(name, reason=f"its files cannot be written: {reason}")


def _in_store(
    ref: ModelRef, registry: Registry, store: Store, wanted: Wanted, told: Progress
) -> Path:
    """Raises: ServingError: it cannot be had, or is not what was registered."""
    store.get(ref, registry, told)
    found = verified.bring(ref, registry, store, wanted.options.trust, lambda _: None)
    found.lease.close()
    return found.manifest.folder


def _in_folder(
    to: Path, ref: ModelRef, registry: Registry, _: Store, wanted: Wanted, told: Progress
) -> Path:
    """As `_in_store`; `to`/NAME/VERSION, which is not there at all before it is whole."""
    home, aside = to / ref.name, to / f".{uuid.uuid4().hex}"
    if (home / ref.version).is_dir():
        return home / ref.version
    store = Store(aside, sys.maxsize)
    try:
        store.open()
        folder = _in_store(ref, registry, store, wanted, told)
        if not folder.is_relative_to(aside):  # of a registry on this disk
            folder = Path(shutil.copytree(folder, aside / ref.version))
        home.mkdir(exist_ok=True)
        with suppress(Refused):  # another one has brought it meanwhile
            publish(folder, home, ref.version)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return home / ref.version
