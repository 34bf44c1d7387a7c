"""`aml-serve models accelerate NAME`: would the ONNX form of a model be served, and why."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from app import verified
from app.acceleration import Accelerator
from app.main import open_store, sources
from app.runtimes.convert import TOLERANCE, Report
from app.settings import Settings
from app.tensors import ModelRef


def accelerate(settings: Settings, model: str) -> bool:
    """Convert `model`, NAME or NAME:VERSION, print the verdict, and tell whether ONNX is served.

    The result is kept where the server finds it.

    Raises: as `verdict`.
    """
    name, _, version = model.partition(":")
    ref, report = verdict(settings, name, version or None)
    typer.echo("\n".join(table(ref, report)))
    return not report.reason


def verdict(settings: Settings, name: str, version: str | None) -> tuple[ModelRef, Report]:
    """What came of converting the model, now or before. Blocking.

    Raises:
        SettingsError: no registry is named, or the cache folder cannot be written.
        ServingError: the model cannot be had, or may not be served.
    """
    access = sources.access(settings)
    try:
        registries = sources.registries(settings, access)
        wanted = sources.chosen(name, version, settings)
        registry = registries[wanted.registry or "default"]
        store = open_store(settings)
        ref = store.resolve(name, wanted.version, registry)
        found = verified.bring(ref, registry, store, wanted.options.trust, lambda step: None)
        with found.lease:
            report, _ = Accelerator(store).report(found.manifest, found.digest, found.untrusted)
        return ref, report
    finally:
        access.close()


def table(ref: ModelRef, report: Report) -> Iterator[str]:
    """The verdict, line by line, for people."""
    yield f"model               {ref}"
    yield f"ONNX is served      {'no' if report.reason else 'yes'}"
    if report.reason:
        yield f"because             {report.reason}"
    for kind, count in report.rows.items():
        yield f"{kind + ' rows':<20}{count}"
    if report.rows:
        yield f"largest difference  {report.largest:.1g} (allowed: {TOLERANCE:g}; classes: none)"
    if report.after_s:
        yield f"one row             {report.before_s * 1e6:.0f} us by scikit-learn"
        yield f"                    {report.after_s * 1e6:.0f} us by ONNX: {report.gain:.1f} times"
    if report.left:
        yield f"left to sklearn     {report.left}"
    yield f"took                {report.convert_s:.1f} s"
