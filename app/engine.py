"""The one way from a request to a prediction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from app.batching import Predicted
from app.catalog import Catalog
from app.deadline import Deadline
from app.errors import ModelFailed, ModelNotNamed
from app.limits import LARGE_BODY_BYTES, Limits, Receive
from app.observers import Observers, Seen
from app.pool import Loaded
from app.schema import Schema
from app.streams import HeldStream
from app.telemetry import Trace
from app.tensors import Call, Prediction, Reply

_LARGE_OUTPUT_BYTES: Final = 64 * 1024
"""Outputs of so many bytes are encoded in a thread: that takes a third of a millisecond."""
_NAMES_TOLD: Final = 20

Result = TypeVar("Result")


@dataclass(slots=True)
class Query:
    """What is known of a request before its body is read."""

    name: str | None
    version: str | None
    caller: str | None
    receive: Receive
    content_length: int | None
    timeout_s: float | None
    """The caller's own deadline; it can only lower ours."""
    method: str = "POST"
    query_string: bytes = b""
    """As it came, without what named the model."""
    request_id: bytes = b""
    client: str = ""
    """Its address."""
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    """By lower-case names."""
    loaded: Loaded | None = None
    """The model, once it is found."""


class Codec(Protocol):
    """How one protocol writes payloads and answers; for large bodies called in a thread."""

    def target(self, body: bytes) -> tuple[str | None, str | None]:
        """The model and version that the body itself names. Raises: BadRequest."""
        ...

    def decode(self, body: bytes, schema: Schema, query: Query) -> Call:
        """Well-shaped input. Raises: BadRequest, SchemaMismatch, UnsupportedMediaType."""
        ...

    def encode(self, call: Call, predicted: Predicted | None, loaded: Loaded) -> Reply:
        """The answer; `predicted` is None for a batch of no rows."""
        ...


class Engine:
    """Every request of every protocol goes through `infer`, and nothing else does."""

    def __init__(
        self,
        limits: Limits,
        catalog: Catalog,
        decoders: Executor,
        observers: Observers,
        *,
        timeout_s: float,
        model_failure_status: int,
    ) -> None:
        self._limits = limits
        self._catalog = catalog
        self._decoders = decoders
        self._observers = observers
        self._timeout_s = timeout_s
        self._model_failure_status = model_failure_status

    async def infer(self, query: Query, codec: Codec, trace: Trace) -> Reply:
        """The answer to one request.

        Raises:
            ServingError: any of it; `errors` lists them.
        """
        asked_s = query.timeout_s
        timeout_s = self._timeout_s if asked_s is None else min(asked_s, self._timeout_s)
        deadline = Deadline(timeout_s, trace)
        return await deadline.bound(self._infer(query, codec, trace, deadline))

    async def _infer(self, query: Query, codec: Codec, trace: Trace, deadline: Deadline) -> Reply:
        with self._limits.admit(query.caller) as slot:
            loaded = query.loaded = self._at_hand(query)
            if loaded is not None:
                self._line_up(loaded, trace, deadline)
            body = await slot.read(query.receive, query.content_length)
            is_large = len(body) >= LARGE_BODY_BYTES

            trace.enter("model")
            if loaded is None:
                loaded = query.loaded = await self._find(query, codec, body)
                self._line_up(loaded, trace, deadline)

            trace.enter("decode")
            if is_large:
                call = await self._apart(codec.decode, body, loaded.schema, query)
                slot.end_turn()
            else:
                call = codec.decode(body, loaded.schema, query)
            trace.rows, trace.extra_columns = call.batch.rows, call.batch.extra_columns
            del body

            predicted = await self._predict(call, loaded, trace, is_large=is_large)
            trace.enter("encode")
            if predicted is not None and _is_much(predicted.prediction):
                reply = await self._apart(codec.encode, call, predicted, loaded)
            else:
                reply = codec.encode(call, predicted, loaded)
            if self._catalog.is_observed and predicted is not None:
                self._observers.tell(Seen(query, call, predicted, loaded))
            if not isinstance(reply.body, bytes):
                reply.body = HeldStream(reply.body, slot.keep())
            return reply

    def _at_hand(self, query: Query) -> Loaded | None:
        """The model that path or query name, when it is in memory."""
        return None if query.name is None else self._catalog.get(query.name, query.version, query)

    def _line_up(self, loaded: Loaded, trace: Trace, deadline: Deadline) -> None:
        """Raises: Overloaded: it need not wait for what would come too late."""
        trace.ref = loaded.ref
        deadline.lower(loaded.timeout_s)
        if inside := loaded.batcher.inside:
            wait_s, is_only = loaded.batcher.wait_s(), self._catalog.serves_one
            self._limits.line_up(inside, wait_s, deadline.left_s(), is_only=is_only)

    async def _find(self, query: Query, codec: Codec, body: bytes) -> Loaded:
        """By path or query, else by the body, else the default one."""
        name, version = query.name, query.version
        if name is None:
            if len(body) < LARGE_BODY_BYTES:
                name, stated = codec.target(body)
            else:
                name, stated = await self._apart(codec.target, body)
            version = version or stated
        name = name or self._catalog.default_name()
        if name is None:
            names = ", ".join(self._catalog.names()[:_NAMES_TOLD]) or "none yet"
            raise ModelNotNamed(f"name a model, as in /score/NAME; served are: {names}")
        return self._catalog.get(name, version, query) or await self._catalog.find(
            name, version, query
        )

    async def _predict(
        self, call: Call, loaded: Loaded, trace: Trace, *, is_large: bool
    ) -> Predicted | None:
        batch = call.batch
        if not batch.rows:
            return None
        outputs = loaded.schema.wanted(call)
        try:
            if not is_large:
                predicted = loaded.batcher.predict_now(batch, outputs, trace)
                if predicted is not None:
                    return predicted
            return await loaded.batcher.predict(batch, outputs, trace)
        except ModelFailed as error:
            error.status = self._model_failure_status
            raise

    async def _apart(self, work: Callable[..., Result], *given: Any) -> Result:
        """In a thread, so that others need not wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work, *given)


def _is_much(prediction: Prediction) -> bool:
    """Also what is no array, of which nobody knows how much it is."""
    for output in prediction.values():
        if not isinstance(output, (np.ndarray, Reply)) or output.nbytes >= _LARGE_OUTPUT_BYTES:
            return True
    return False
