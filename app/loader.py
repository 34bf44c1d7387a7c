"""How one model comes into memory: found, loaded, checked and measured.

Not here: which models are in memory (`pool`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from app import golden, runtimes, verified
from app.acceleration import OFF, Acceleration, Accelerator
from app.batching import Batcher, Relay, Workers
from app.crashes import Attributed, Crashes, Untried
from app.errors import ServingError
from app.golden import Verdict
from app.manifest import Manifest
from app.memory import Memory, Size, counted
from app.options import SCRIPT_TIMEOUT_S, Options, most_rows
from app.registries import Details, Registry
from app.schema import Schema
from app.store import Store
from app.tensors import Apart, Model, ModelRef, Signature
from app.verified import Verified

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Loaded:
    """One model version, checked and ready to be called."""

    ref: ModelRef
    manifest: Manifest
    model: Model
    schema: Schema
    batcher: Batcher | Relay
    verdict: Verdict
    details: Details
    digest: str
    size: Size
    """What it counts as."""
    measured: Size
    fetch_s: float
    load_s: float
    timeout_s: float | None
    is_pinned: bool
    options: Options
    headers: tuple[tuple[bytes, bytes], ...]
    """Told with each of its answers."""
    acceleration: Acceleration = OFF
    last_use: int = 0
    """A number that grows with each use of any model."""

    @property
    def size_bytes(self) -> int:
        """What it takes of memory."""
        return self.size.size_bytes


@dataclass(frozen=True, slots=True)
class _Ready:
    """A model in memory, of which is not said yet how it is called."""

    model: Model
    acceleration: Acceleration
    schema: Schema
    verdict: Verdict
    measured: Size


class Loader:
    """Its methods block; called in loading threads."""

    def __init__(
        self,
        store: Store,
        workers: Workers,
        memory: Memory,
        crashes: Crashes,
        script_timeout_s: float = SCRIPT_TIMEOUT_S,
        collector: str = "",
    ) -> None:
        """`script_timeout_s` ends the process of a script where nothing else is said of it;
        `collector` is where scripts send what they have collected, if that is wanted of them.
        """
        self._collector = collector
        self._script_timeout_s = script_timeout_s
        self._store = store
        self._workers = workers
        self._memory = memory
        self._crashes = crashes
        self._accelerator = Accelerator(store)

    def find(
        self, ref: ModelRef, registry: Registry, options: Options, tell: Callable[[str], None]
    ) -> tuple[Verified, Size]:
        """Its folder, and what it is expected to take.

        Raises:
            ServingError: it cannot be had, is not what was registered, or is set aside.
        """
        trust, script = options.trust, options.script
        found = verified.bring(ref, registry, self._store, trust, tell, script)
        try:
            self._crashes.refuse(found.digest)
        except ServingError:
            found.lease.close()
            raise
        declared_bytes = options.memory_bytes or found.manifest.memory_bytes
        return found, self._memory.expected(found.digest, found.size_bytes, declared_bytes)

    def load(
        self,
        ref: ModelRef,
        found: Verified,
        options: Options,
        tell: Callable[[str], None],
        started: float,
        show: Callable[[Signature], None] = lambda _: None,
    ) -> Loaded:
        """In memory, checked.

        Args:
            started: when it was asked for, by `time.perf_counter()`.
            show: called with what it takes and gives, before it is checked.

        Raises:
            ServingError: it cannot be served. A model file may raise anything while it is read.
        """
        stated = found.manifest
        ready = self._ready(ref, found, options, tell, show)
        return Loaded(
            ref=ref,
            manifest=stated,
            model=ready.model,
            schema=ready.schema,
            batcher=self._batcher(ref, ready.model, ready.verdict, options, stated, found.digest),
            verdict=ready.verdict,
            details=found.details,
            digest=found.digest,
            size=_counted(ref, ready.measured, options, stated),
            measured=ready.measured,
            fetch_s=found.fetch_s,
            load_s=time.perf_counter() - started,
            timeout_s=_timeout_s(options, stated),
            is_pinned=options.is_pinned,
            options=options,
            headers=_headers(ref),
            acceleration=ready.acceleration,
        )

    def _ready(
        self,
        ref: ModelRef,
        found: Verified,
        options: Options,
        tell: Callable[[str], None],
        show: Callable[[Signature], None],
    ) -> _Ready:
        """Read, checked and measured."""
        tell("load")
        runtimes.prepare(found.manifest)  # its libraries are no part of the model's size
        with (
            self._crashes.loading(found.digest, str(ref)),
            self._memory.weigh(found.digest, found.size_bytes) as weighing,
        ):
            model, acceleration = self._read(ref, found, options)
            show(model.signature)
            _warn(ref, options, model.signature)
            schema, verdict = self._checked(ref, found, model, tell)
        if verdict.has_predicted:
            self._crashes.forget(found.digest)
        acceleration.begin()
        measured = _with_processes(weighing.size, model)
        if model.signature.kind != "raw":  # those have processes of their own
            model = Attributed(model, found.digest)
        return _Ready(model, acceleration, schema, verdict, measured)

    def adjusted(self, loaded: Loaded, options: Options) -> Loaded:
        """The same model, called as `options` say."""
        stated = loaded.manifest
        if options.collect != loaded.options.collect:
            _warn(loaded.ref, options, loaded.schema.signature)
        return replace(
            loaded,
            batcher=self._batcher(
                loaded.ref, loaded.model, loaded.verdict, options, stated, loaded.digest
            ),
            size=_counted(loaded.ref, loaded.measured, options, stated),
            timeout_s=_timeout_s(options, stated),
            is_pinned=options.is_pinned,
            options=options,
        )

    def _read(self, ref: ModelRef, found: Verified, options: Options) -> tuple[Model, Acceleration]:
        """The model in memory, by its ONNX form where that may take its place."""
        stated = found.manifest
        if stated.runtime == "script":
            stated = replace(
                stated,
                threads=options.threads or stated.threads,
                timeout_s=options.timeout_s or stated.timeout_s or self._script_timeout_s,
                environment=options.environment,
                collector=self._collector_of(ref) if options.collect is not None else "",
            )
        threads = max(1, self._workers.threads // self._threads(options, stated))
        return self._accelerator.load(
            stated, found.digest, found.untrusted, threads, options.accelerate
        )

    def _collector_of(self, ref: ModelRef) -> str:
        return self._collector and f"{self._collector} {ref.registry} {ref.name} {ref.version}"

    def _checked(
        self, ref: ModelRef, found: Verified, model: Model, tell: Callable[[str], None]
    ) -> tuple[Schema, Verdict]:
        """Warmed and compared."""
        schema = Schema(model.signature)
        if guessed := ", ".join(model.signature.guessed[:5]):
            text = "%s: the types of %s are not known; a schema.json would name them"
            logger.warning(text, ref, guessed)
        tell("check")
        return schema, golden.check(model, schema, found.manifest.golden)

    def _batcher(
        self,
        ref: ModelRef,
        model: Model,
        verdict: Verdict,
        options: Options,
        stated: Manifest,
        digest: str,
    ) -> Batcher | Relay:
        if model.signature.kind == "raw":
            return Relay(cast(Apart, model), verdict.predict_s)
        max_rows = most_rows(options, stated)
        if not verdict.has_predicted:
            model = Untried(model, self._crashes, digest, str(ref))
        return Batcher(
            model,
            str(ref),
            self._workers,
            max_rows=max_rows if verdict.joinable else 1,
            threads=self._threads(options, stated),
            expected_s=verdict.predict_s,
            is_steady=model.is_steady,
        )

    def _threads(self, options: Options, stated: Manifest) -> int:
        """Calls of one model at the same time."""
        return options.threads or stated.threads or self._workers.threads


def _warn(ref: ModelRef, options: Options, signature: Signature) -> None:
    """Of what the operator says that this model does not bear out."""
    if options.collect is not None:
        for doubt in options.collect.doubts(signature):
            logger.warning("%s: %s", ref, doubt)
    if options.environment and signature.kind != "raw":
        logger.warning("%s: environment is for scoring scripts, which it is not", ref)


def _with_processes(size: Size, model: Model) -> Size:
    """And what a script's processes take, which `Memory` does not see."""
    if model.signature.kind != "raw":
        return size
    taken = cast(Apart, model).resident_bytes
    return Size(size.size_bytes + taken, f"{size.source}, and its processes", is_exact=True)


def _counted(ref: ModelRef, measured: Size, options: Options, stated: Manifest) -> Size:
    return counted(measured, options.memory_bytes or stated.memory_bytes, str(ref))


def _timeout_s(options: Options, stated: Manifest) -> float | None:
    """None where the clock of a script's own process ends it."""
    return None if stated.runtime == "script" else options.timeout_s or stated.timeout_s


def _headers(ref: ModelRef) -> tuple[tuple[bytes, bytes], ...]:
    return (b"x-model-name", ref.name.encode()), (b"x-model-version", ref.version.encode())
