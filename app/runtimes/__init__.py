"""What turns a model folder into a `Model`; imported when the first model needs it."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol, cast

from app.errors import ModelInvalid, ServingError
from app.imports import NotInstalled, imported
from app.manifest import Manifest, service
from app.schema import Schema
from app.schema.declared import declare
from app.tensors import Model, Signature

RUNTIMES: Final = {
    "boosters": "app.runtimes.boosters.model:load",
    "onnx": "app.runtimes.onnx:load",
    "pyfunc": "app.runtimes.pyfunc:load",
    "script": "app.runtimes.script.model:load",
    "sklearn": "app.runtimes.sklearn.model:load",
}
"""Name -> where its `load` is."""


catching_warnings: Final = threading.Lock()
"""Held by who uses warnings.catch_warnings, which changes the whole process."""


class Load(Protocol):
    """Reads the model of a manifest into memory."""

    def __call__(self, manifest: Manifest, threads: int, untrusted: str = "") -> Model:
        """Blocking; called in a loading thread.

        Args:
            threads: what one prediction may use.
            untrusted: why no code of this model may run; empty: it may.

        Raises:
            ModelInvalid: the file is not what the runtime reads, or needs what is not installed,
                or is code that may not run. It names the mend.
        """
        ...


def declared_rank(schema: Mapping[str, Any] | None) -> int:
    """Depth of the lists of one record by its JSON Schema; 0 where that tells of none."""
    depth = 0
    while schema and schema.get("type") == "array":
        depth += 1
        schema = schema.get("items")
    return depth


def signed(derived: Signature, manifest: Manifest) -> Signature:
    """`derived` as the model folder declares it: by `schema.json`, else by `service_schema.json`,
    else by MLflow's signature.

    Raises:
        ModelInvalid: the two contradict each other.
    """
    signature = _declared(derived, manifest)
    older = manifest.service
    if older is None:
        return signature
    return replace(signature, input_names=older.names, casts=older.casts)


def _declared(derived: Signature, manifest: Manifest) -> Signature:
    if manifest.schema is None:
        return derived
    if manifest.service is not None and manifest.schema is manifest.service.record:
        return _unchecked(derived, manifest.schema, service.FILE)
    if manifest.mlmodel is None or manifest.schema is not manifest.mlmodel.schema:
        return declare(derived, manifest.schema)
    is_matrix = manifest.schema.get("type") == "array" and len(derived.inputs) > 1
    if is_matrix and manifest.schema.get("minItems") == len(derived.inputs):
        return derived  # saved with an array in place of the frame: the columns go by position
    return _unchecked(derived, manifest.schema, "the signature in MLmodel")


def _unchecked(derived: Signature, document: Mapping[str, Any], source: str) -> Signature:
    """As a document of `source` declares it, which was written by no one who tried it."""
    try:
        return _with_fitting_examples(derived, document)
    except ModelInvalid as error:
        told = str(error).replace("schema.json", source)
        raise ModelInvalid(f"{told}; a schema.json would take its place") from error


def _with_fitting_examples(derived: Signature, document: Mapping[str, Any]) -> Signature:
    """As `document` declares it; its examples, which nobody checked, as far as they fit."""
    bare = {key: value for key, value in document.items() if key != "examples"}
    signature = declare(derived, bare)
    schema = Schema(signature)
    examples = [e for e in document.get("examples", ()) if _fits(e, schema)]
    return replace(signature, declared={**bare, "examples": examples}) if examples else signature


def _fits(example: Any, schema: Schema) -> bool:
    try:
        schema.decode([example] if schema.signature.batched else example)
    except ServingError:
        return False
    return True


def prepare(manifest: Manifest) -> None:
    """Import what its runtime is made of. Raises: ModelInvalid: there is no such runtime."""
    _runtime(manifest)


def load(manifest: Manifest, threads: int, untrusted: str = "") -> Model:
    """The model of `manifest`, by its runtime; see `Load`."""
    return _runtime(manifest)(manifest, threads, untrusted)


def _runtime(manifest: Manifest) -> Load:
    target = RUNTIMES.get(manifest.runtime)
    if target is None:
        raise ModelInvalid(f"no runtime {manifest.runtime!r}; known: {', '.join(RUNTIMES)}")
    is_new = target.partition(":")[0] not in sys.modules
    try:
        loader = cast(Load, imported(target, f"a model of the runtime {manifest.runtime}"))
    except NotInstalled as error:
        raise ModelInvalid(str(error)) from error
    if is_new:
        gc.freeze()  # a library stays: no garbage collection need look at it again
    return loader
