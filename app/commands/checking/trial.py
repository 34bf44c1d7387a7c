"""A model is loaded as the server loads it, in a process that it may end."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from app import manifest
from app.azure.access import Access
from app.batching import Workers
from app.commands.checking import findings, latency
from app.commands.checking.telling import Telling, Warnings
from app.crashes import Crashes
from app.errors import ModelInvalid, ModelNotFound, ModelUnavailable, ServingError
from app.loader import Loaded, Loader
from app.main import open_store, sources
from app.main.parts import budgets, threads
from app.manifest import Manifest
from app.memory import Memory, Size
from app.options import Options
from app.registries import Registry
from app.room import Room
from app.settings import ModelChoice, Settings
from app.store import Store
from app.tensors import ModelRef, Signature
from app.verified import Verified

_AGAIN_S: Final = 10.0
_AGAIN_BYTES: Final = 256 * 1024**2
"""What is quicker to load and smaller is loaded once more, to be measured without libraries."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the model comes from, and what the operator says of it."""

    ref: ModelRef
    registry: Registry
    store: Store
    options: Options


def run(settings: Settings, model: str, stream: TextIO) -> None:
    """Load `model`, NAME or NAME:VERSION, and write each finding to `stream` at once."""
    telling = Telling(stream)
    logging.getLogger().handlers[:] = [Warnings(telling)]
    access = sources.access(settings)
    try:
        telling.at("files")
        source = _source(settings, model, access, telling)
        if source is not None:
            _try(settings, source, telling)
    except ServingError as error:
        telling.refuse(telling.step, str(error))
    finally:
        access.close()
    telling.end()


def _source(settings: Settings, model: str, access: Access, telling: Telling) -> _Source | None:
    """None: there is no such model, or nowhere to look for it.

    Raises:
        RegistryUnavailable: the registry cannot be read now.
    """
    try:
        chosen = ModelChoice.parse(model)
        wanted = sources.chosen(chosen.name, chosen.version, settings)
        registry = sources.registries(settings, access)[wanted.registry or "default"]
        store = open_store(settings)
        ref = store.resolve(wanted.name, wanted.version, registry)
    except ModelNotFound as error:
        telling.wrong(str(error), is_unknown=True)
    except ValueError as error:  # SettingsError, too
        telling.wrong(str(error))
    else:
        return _Source(ref, registry, store, wanted.options)
    return None


def _try(settings: Settings, source: _Source, telling: Telling) -> None:
    """Raises: ServingError, at the step that is at fault."""
    started = time.perf_counter()
    folder = source.store.get(source.ref, source.registry, telling.progress)
    findings.tell_files(folder, time.perf_counter() - started, telling)
    workers = Workers(threads(settings))
    with tempfile.TemporaryDirectory(prefix="aml-serve-") as aside:
        # What servers noted is read and not written: this is no load, and no crash, of theirs.
        crashes = Crashes(settings.cache_dir)
        finder = Loader(source.store, workers, Memory(settings.cache_dir), crashes)
        loader = Loader(source.store, workers, Memory(Path(aside)), Crashes(Path(aside)))
        telling.at("digest")
        found, expected = _found(source, finder, crashes, folder, telling)
        with found.lease:
            findings.tell_found(found, source.options.trust.rule, telling)
            room = Room(budgets(settings)[1])
            show = partial(_show, found.manifest, telling)
            loaded = _loaded(source, found, expected, loader, room, telling, show)
            findings.tell_load(loaded, telling)
            is_small = loaded.load_s < _AGAIN_S and found.size_bytes < _AGAIN_BYTES
            alone = loaded
            if not loaded.measured.is_exact and is_small:
                alone = _loaded(source, found, expected, loader, room, telling)
    telling.at("latency")
    findings.tell_loaded(loaded, alone, telling)
    latency.tell_speed(alone, telling)


def _found(
    source: _Source, finder: Loader, crashes: Crashes, folder: Path, telling: Telling
) -> tuple[Verified, Size]:
    try:
        return finder.find(source.ref, source.registry, source.options, lambda _: None)
    except ModelInvalid as error:
        digest = manifest.digest(folder)
        step = _step_at_fault(error, folder, digest, crashes)
        if step != "digest":
            findings.tell_digest(digest, telling)
        telling.at(step)
        raise


def _step_at_fault(error: ModelInvalid, folder: Path, digest: str, crashes: Crashes) -> str:
    """Which of the things that `Loader.find` looks at has refused."""
    for step, again in (
        ("format", lambda: manifest.read(folder)),
        ("load", lambda: crashes.refuse(digest)),
    ):
        try:
            again()
        except ModelInvalid as other:
            if str(other) == str(error):
                return step
    return "digest"


def _loaded(
    source: _Source,
    found: Verified,
    expected: Size,
    loader: Loader,
    room: Room,
    telling: Telling,
    show: Callable[[Signature], None] = lambda _: None,
) -> Loaded:
    """In memory, where it may stay.

    Raises:
        ServingError: it cannot be served, at the step that is at fault.
    """
    telling.at("memory")
    is_pinned = source.options.is_pinned
    room.check(source.ref, expected, is_pinned=is_pinned)
    try:
        loaded = loader.load(
            source.ref,
            found,
            source.options,
            lambda step: telling.at("load" if step == "load" else "golden"),
            time.perf_counter(),
            show,
        )
    except ServingError as error:
        step = _step_of_load(error, found, telling.step)
        if step == "schema":
            findings.tell_read(found.manifest, telling)
        telling.at(step)
        raise
    except BaseException as error:  # a model file may raise anything while it is read
        kind = type(error).__name__
        raise ModelUnavailable(f"it raised {kind}: {error}") from error
    telling.at("memory")
    if loaded.size.is_exact:
        room.check(source.ref, loaded.size, is_pinned=is_pinned)
    return loaded


def _show(stated: Manifest, telling: Telling, signature: Signature) -> None:
    findings.tell_read(stated, telling)
    findings.tell_schema(signature, stated, telling)


def _step_of_load(error: ServingError, found: Verified, step: str) -> str:
    """What has refused while it was loaded."""
    if found.untrusted and found.untrusted in str(error):
        return "trust"
    return "schema" if step == "load" and "schema.json" in str(error) else step
