"""The one way from a request to a prediction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.batching import Predicted
from app.catalog import Catalog
from app.errors import DeadlineExceeded, ModelFailed, ModelLoading, ModelNotNamed
from app.limits import Limits, Receive
from app.pool import Loaded
from app.schema import Schema
from app.telemetry import Trace
from app.tensors import Call, Reply

LARGE_BODY_BYTES: Final = 64 * 1024
"""Bodies from here on are decoded in a thread, so that others need not wait for them."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is known of a request before its body is read."""

    name: str | None
    version: str | None
    caller: str | None
    receive: Receive
    content_length: int | None
    timeout_s: float | None
    """The caller's own deadline; it can only lower ours."""


class Codec(Protocol):
    """How one protocol writes payloads and answers."""

    def parse(self, body: bytes) -> Any:
        """The body as a document. Raises: BadRequest."""
        ...

    def target(self, document: Any) -> tuple[str | None, str | None]:
        """The model and version that the document itself names."""
        ...

    def decode(self, document: Any, schema: Schema) -> Call:
        """Well-shaped input. Raises: BadRequest, SchemaMismatch."""
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
        *,
        timeout_s: float,
        model_failure_status: int,
    ) -> None:
        self._limits = limits
        self._catalog = catalog
        self._decoders = decoders
        self._timeout_s = timeout_s
        self._model_failure_status = model_failure_status

    async def infer(self, query: Query, codec: Codec, trace: Trace) -> Reply:
        """The answer to one request.

        Raises:
            ServingError: any of it; `errors` lists them.
        """
        trace.enter("admit")
        with self._limits.admit(query.caller) as slot:
            async with self._deadline(query, trace) as timeout:
                body = await slot.read(query.receive, query.content_length)
                trace.enter("decode")
                document = await self._off_loop(len(body), codec.parse, body)

                trace.enter("model")
                loaded = await self._find(query, codec, document)
                trace.ref = loaded.ref
                _lower(timeout, loaded.timeout_s, trace)

                trace.enter("decode")
                call = await self._off_loop(len(body), codec.decode, document, loaded.schema)
                trace.rows, trace.extra_columns = call.batch.rows, call.batch.extra_columns
                del body, document

                predicted = await self._predict(call, loaded, trace)
                trace.enter("encode")
                return codec.encode(call, predicted, loaded)

    async def _predict(self, call: Call, loaded: Loaded, trace: Trace) -> Predicted | None:
        if not call.batch.rows:
            return None
        trace.enter("queue")
        try:
            predicted = await loaded.batcher.predict(call.batch, loaded.schema.wanted(call))
        except ModelFailed as error:
            error.status = self._model_failure_status
            raise
        trace.batch_rows = predicted.batch_rows
        trace.enter("predict", predicted.started_at)
        trace.enter("deliver", predicted.ended_at)
        return predicted

    async def _find(self, query: Query, codec: Codec, document: Any) -> Loaded:
        name, version = query.name, query.version
        if name is None:
            name, stated = codec.target(document)
            version = version or stated
        name = name or self._catalog.default_name()
        if name is None:
            names = ", ".join(self._catalog.names()[:20]) or "none yet"
            raise ModelNotNamed(f"name a model, as in /score/NAME; served are: {names}")
        return await self._catalog.find(name, version)

    @asynccontextmanager
    async def _deadline(self, query: Query, trace: Trace) -> AsyncIterator[asyncio.Timeout]:
        timeout_s = min(self._timeout_s, query.timeout_s or self._timeout_s)
        try:
            async with asyncio.timeout(timeout_s) as timeout:
                yield timeout
        except TimeoutError:
            if trace.phase == "model":
                raise ModelLoading(
                    f"the model was not loaded within {timeout_s:g} s", retry_after_s=5
                ) from None
            raise DeadlineExceeded(
                f"the answer was not ready in time (phase: {trace.phase})"
            ) from None

    async def _off_loop(self, size_bytes: int, work: Callable[..., Any], *given: Any) -> Any:
        if size_bytes < LARGE_BODY_BYTES:
            return work(*given)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work, *given)


def _lower(timeout: asyncio.Timeout, timeout_s: float | None, trace: Trace) -> None:
    """The model's own deadline counts from when the request came."""
    before = timeout.when()
    if timeout_s is not None and before is not None:
        now = asyncio.get_running_loop().time()
        timeout.reschedule(min(before, now + timeout_s - trace.age_s()))
