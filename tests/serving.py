"""What tests of the hot path share: a model that waits, a registry that counts, all parts built."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper

from app import runtimes
from app.batching import Workers
from app.catalog import Catalog, Outcomes, State, Wanted
from app.crashes import Crashes
from app.engine import Engine, Query
from app.errors import RegistryUnavailable
from app.limits import Limits
from app.loader import Loader
from app.manifest import Manifest
from app.memory import Memory
from app.observers import Observer, Observers
from app.observers.shadows import Shadows
from app.pool import Options, Pool
from app.protocols.score import ScoreCodec
from app.registries import Progress, nobody
from app.registries.local import LocalRegistry
from app.store import Store
from app.telemetry import Trace
from app.tensors import Batch, Model, ModelRef, Prediction, Signature, TensorSpec

GIVE_UP_S = 30.0
"""No test takes so long unless something hangs."""


class Held:
    """y = 2x and z = -x. Its calls wait while it is held; a 13 among the rows makes it raise."""

    is_steady = False

    def __init__(self) -> None:
        shape = (None,)
        outputs = (TensorSpec("y", "float64", shape), TensorSpec("z", "float64", shape))
        self.signature = Signature((TensorSpec("x", "float64", shape),), outputs, result="y")
        self.calls: list[list[float]] = []
        self.error: BaseException = ValueError("13")
        self.entered = asyncio.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self._loop = asyncio.get_running_loop()

    def hold(self) -> None:
        self.gate.clear()

    def let_go(self) -> None:
        self.gate.set()

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        x = batch.arrays["x"]
        self.calls.append([float(value) for value in np.ravel(x)])
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.entered.release)
        assert self.gate.wait(GIVE_UP_S)
        if 13.0 in x:
            raise self.error
        return {name: 2 * x if name == "y" else -x for name in outputs}


def batch_of(*values: float) -> Batch:
    return Batch({"x": np.array(values, dtype=np.float64)}, len(values))


class Watched:
    """A loaded model that can be held, and counts its calls."""

    is_steady = False

    def __init__(self, model: Model) -> None:
        self._model = model
        self.signature = model.signature
        self.calls = 0
        self.error: BaseException | None = None
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        self.calls += 1
        self.entered.set()
        assert self.gate.wait(GIVE_UP_S)
        if self.error is not None:
            raise self.error
        return self._model.predict(batch, outputs)


class CountedRegistry(LocalRegistry):
    """Counts what is asked of it; can be away, wait before a fetch, and raise what it likes."""

    def __init__(self, folder: Path) -> None:
        super().__init__("default", str(folder))
        self.resolved: list[tuple[str, str | None]] = []
        self.fetched: list[ModelRef] = []
        self.is_away = False
        self.error: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()

    def resolve(self, name: str, version: str | None) -> ModelRef:
        self.resolved.append((name, version))
        if self.is_away and version is None:
            raise RegistryUnavailable("the registry is away")
        if self.error is not None:
            raise self.error
        return super().resolve(name, version)

    def names(self) -> list[str]:
        if self.is_away:
            raise RegistryUnavailable("the registry is away")
        return super().names()

    def fetch(self, ref: ModelRef, target: Path, told: Progress = nobody) -> Path:
        self.fetched.append(ref)
        assert self.gate.wait(GIVE_UP_S)
        return super().fetch(ref, target, told)


@cache
def _onnx() -> bytes:
    """y = x + x, of rows with one number."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 1]) for n in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "graph", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_model(root: Path, name: str, version: str = "1", *, size: int = 0, **more: str) -> Path:
    """A model that doubles numbers; `more` are further files, by stem: `manifest`, `golden`."""
    folder = root / name / version
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(_onnx())
    (folder / "README.md").write_bytes(b"x" * size)
    for stem, text in more.items():
        suffix = ".yaml" if stem == "manifest" else ".json"
        (folder / f"{stem}{suffix}").write_text(text)
    return folder


def write_broken(root: Path, name: str) -> None:
    """A model that cannot be loaded."""
    folder = root / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"no model")


@dataclass
class Serving:
    """All parts between a request and a model, over a registry in a temporary folder."""

    folder: Path
    registry: CountedRegistry
    store: Store
    workers: Workers
    loaders: ThreadPoolExecutor
    decoders: ThreadPoolExecutor
    shadows: Shadows = field(init=False)
    observers: list[Observer] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    models: dict[str, Watched] = field(default_factory=dict)
    """The last one loaded, by the name of its folder's parent."""

    def pool(
        self, budget_bytes: int = 10**9, occupied_bytes: Callable[[], int] = lambda: 0
    ) -> Pool:
        """Its models take what their files take, unless `occupied_bytes` says otherwise."""
        memory = Memory(self.folder.parent / "cache", occupied_bytes)
        loader = Loader(self.store, self.workers, memory, self.crashes())
        return Pool(self.store, loader, self.loaders, budget_bytes=budget_bytes)

    def crashes(self) -> Crashes:
        """Those of a process that begins now."""
        crashes = Crashes(self.folder.parent / "cache")
        crashes.open()
        return crashes

    def catalog(
        self,
        *wanted: Wanted,
        all_models: bool = False,
        default_model: str | None = None,
        on_demand: bool = True,
        match: str = "*",
        pool: Pool | None = None,
        refresh_s: float = 0,
        outcomes: Outcomes | None = None,
    ) -> Catalog:
        return Catalog(
            {"default": self.registry},
            pool or self.pool(),
            self.loaders,
            wanted=None if all_models else wanted,
            default_model=default_model,
            on_demand=on_demand,
            on_demand_match=match,
            refresh_s=refresh_s,
            outcomes=outcomes,
            first_retry_s=0.002,
        )

    def engine(self, catalog: Catalog, timeout_s: float = GIVE_UP_S, **limits: Any) -> Engine:
        self.shadows = Shadows(catalog.shadow)
        return Engine(
            limits_of(**limits),
            catalog,
            self.decoders,
            Observers(self.shadows, *self.observers),
            timeout_s=timeout_s,
            model_failure_status=500,
        )


@contextmanager
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch, threads: int = 2) -> Iterator[Serving]:
    registry = folder / "registry"
    registry.mkdir()
    store = Store(folder / "cache", 10**9)
    store.open()
    loaders, decoders = ThreadPoolExecutor(4), ThreadPoolExecutor(1)
    counted = CountedRegistry(registry)
    made = Serving(registry, counted, store, Workers(threads), loaders, decoders)
    real = runtimes.load

    def load(manifest: Manifest, threads: int, untrusted: str = "") -> Model:
        name = manifest.folder.parent.name
        made.loads.append(name)
        made.models[name] = Watched(real(manifest, threads, untrusted))
        return made.models[name]

    monkeypatch.setattr(runtimes, "load", load)
    yield made
    counted.gate.set()
    for model in made.models.values():
        model.gate.set()
    made.workers.close()
    loaders.shutdown()
    decoders.shutdown()


def limits_of(
    max_in_flight: int = 512,
    client_max_in_flight: int | None = None,
    body_memory_bytes: int = 10**9,
    max_body_bytes: int = 10**8,
) -> Limits:
    return Limits(
        max_in_flight=max_in_flight,
        client_max_in_flight=client_max_in_flight,
        body_memory_bytes=body_memory_bytes,
        max_body_bytes=max_body_bytes,
    )


Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


def sending(*chunks: bytes, is_left: bool = False) -> Receive:
    """ASGI's receive of a client that sends `chunks`, and then leaves if `is_left`."""
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": is_left or i < len(chunks)}
        for i, chunk in enumerate(chunks, 1)
    ]
    if is_left:
        messages.append({"type": "http.disconnect"})

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    return receive


async def never() -> MutableMapping[str, Any]:
    """ASGI's receive of a client that sends nothing."""
    await asyncio.Event().wait()
    raise AssertionError


def query(body: Any, name: str | None = "double", **more: Any) -> Query:
    sent = body if isinstance(body, bytes) else orjson.dumps(body)
    given: dict[str, Any] = {
        "version": None,
        "caller": None,
        "receive": sending(sent),
        "content_length": len(sent),
        "timeout_s": None,
    }
    return Query(name=name, **{**given, **more})


async def ask(engine: Engine, asked: Query, trace: Trace | None = None) -> Any:
    """The `results` of an answer."""
    reply = await engine.infer(asked, ScoreCodec(), trace or Trace("POST"))
    assert isinstance(reply.body, bytes)
    return orjson.loads(reply.body)["results"]


async def until(holds: Callable[[], object]) -> None:
    """Wait for what happens in another task or thread."""
    async with asyncio.timeout(GIVE_UP_S):
        while not holds():  # noqa: ASYNC110  # threads set no asyncio.Event
            await asyncio.sleep(0.001)


def states(catalog: Catalog) -> dict[str, State]:
    return {f"{s.name}:{s.version}": s.state for s in catalog.status()}


def rows(values: Sequence[float]) -> list[list[float]]:
    return [[value] for value in values]


PINNED = Options(is_pinned=True)
