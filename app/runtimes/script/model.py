"""A scoring script as a model of the `raw` kind: whole requests in, whole answers out."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from app.errors import (
    AnswerInvalid,
    DeadlineExceeded,
    ModelFailed,
    ModelInvalid,
    ModelUnavailable,
    ServingError,
)
from app.manifest import Manifest, Script
from app.manifest.requirements import differences
from app.runtimes.script.child import Child, Ended, Told, Unfit
from app.runtimes.script.environment import environment
from app.tensors import Batch, Prediction, RawBatch, Reply, Signature, TensorSpec

logger = logging.getLogger(__name__)

START_S: Final = 600.0
"""What `init` may take; models are read in it."""
_TIMEOUT_S: Final = 60.0
FAILED: Final = "An unexpected error occurred in scoring script. Check the logs for more info."
"""What azureml-inference-server-http answers; clients look for it."""
UNWRITABLE: Final = "An unexpected internal error occurred. Check the logs for more info."
_WORDS: Final = {
    "raised": "raised",
    "timeout": "took too long",
    "unwritable": "returned what is nothing for JSON",
}
SIGNATURE: Final = Signature((), (TensorSpec("reply", "any", ()),), kind="raw", result="reply")

Idle = queue.LifoQueue[Child]


class ScriptModel:
    """See `Model`; as many calls at once as it has processes."""

    is_steady = False

    def __init__(
        self, start: Callable[[], Child], label: str, processes: int, timeout_s: float
    ) -> None:
        """Raises: as `Child`."""
        self.signature = SIGNATURE
        self.processes = processes
        self._start = start
        self._label = label
        self._timeout_s = timeout_s
        self._idle: Idle = queue.LifoQueue()
        self._children: list[Child] = []
        self._finalizer = weakref.finalize(self, _end, self._children)
        for _ in range(processes):
            self._children.append(start())
            self._idle.put(self._children[-1])

    @property
    def resident_bytes(self) -> int:
        """What its processes take of memory."""
        return sum(child.resident_bytes for child in self._children)

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """See `Model`; the one output is a `Reply`.

        Raises:
            ModelFailed: `run` raised, or ended its process.
            DeadlineExceeded: it took too long; its process was ended.
            ModelUnavailable: its process had ended, and a new one does not begin.
        """
        assert isinstance(batch, RawBatch)
        child = self._idle.get()
        is_streaming = False
        try:
            if child.has_ended:
                child = self._anew(child)
            told, body = child.ask(batch.request, self._timeout_s)
            is_streaming = told.is_streamed
        except TimeoutError:
            raise DeadlineExceeded(timed_out(self._timeout_s)) from None
        except Ended as error:
            logger.error("%s: %s", self._label, error)
            raise ModelFailed(FAILED) from error
        finally:
            if not is_streaming:
                self._idle.put(child)
        if told.failure:
            raise self._failed(told)
        if is_streaming:
            stream = Stream(self, child, partial(self._idle.put, child), self._timeout_s)
            return {"reply": Reply(told.status, _headers(told), stream)}
        return {"reply": Reply(told.status, _headers(told), body)}

    def _failed(self, told: Told) -> ServingError:
        """And its traceback in the log."""
        logger.error("%s: run() %s\n%s", self._label, _WORDS[told.failure], told.error)
        if told.failure == "timeout":
            return DeadlineExceeded(timed_out(self._timeout_s))
        return AnswerInvalid(UNWRITABLE) if told.failure == "unwritable" else ModelFailed(FAILED)

    @property
    def swagger(self) -> Mapping[str, Any]:
        """`input`, `output` and `versions`, where its decorators declare them; else empty."""
        return self._children[0].swagger

    def _anew(self, child: Child) -> Child:
        """Another process in place of one that has ended."""
        child.end()  # what it has started may still be there
        try:
            other = self._start()
        except (Unfit, Ended) as error:
            raise ModelUnavailable(
                f"it cannot be started again: {error}", retry_after_s=1
            ) from error
        self._children[self._children.index(child)] = other
        return other


class Stream:
    """The rest of an answer that comes in parts. Its process is busy until the last one."""

    def __init__(
        self, model: ScriptModel, child: Child, done: Callable[[], None], timeout_s: float
    ) -> None:
        self._model: ScriptModel | None = model  # whose processes live as long as it does
        self._chunks: Iterator[bytes] = child.chunks(timeout_s)
        self._child = child
        self._done = done

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> bytes:
        """Raises: StopAsyncIteration at the end; Ended, TimeoutError: it came to none."""
        if self._model is None:
            raise StopAsyncIteration
        try:
            chunk = await asyncio.to_thread(next, self._chunks, None)
        except BaseException:
            await self.aclose()
            raise
        if chunk is None:
            self._finish()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Nobody reads on; the process, in the middle of it, is ended."""
        if self._model is not None:
            await asyncio.to_thread(self._child.end)
            self._finish()

    def _finish(self) -> None:
        self._model = None
        self._done()


def load(manifest: Manifest, threads: int, untrusted: str = "") -> ScriptModel:
    """See `Load`; `threads` of the manifest are processes."""
    if untrusted:
        raise ModelInvalid(f"{manifest.file.name} is code: {untrusted}")
    folder = manifest.folder
    label = f"{folder.parent.name}:{folder.name}" if manifest.script is None else folder.name
    for package, trained, here in differences(manifest.requirements):
        text = "%s was trained with %s %s, here is %s"
        logger.warning(text, manifest.file.name, package, trained, here)
    timeout_s = manifest.timeout_s or _TIMEOUT_S
    script = manifest.script or Script(
        manifest.file, environment(os.environ, folder), (manifest.file.parent,), folder
    )
    start = partial(Child, script, label, START_S)
    try:
        return ScriptModel(start, label, manifest.threads or 1, timeout_s)
    except (Unfit, Ended) as error:
        raise ModelInvalid(f"{manifest.file.name}: {error}") from error


def timed_out(timeout_s: float) -> str:
    """What azureml-inference-server-http answers."""
    return f"Scoring timeout after {timeout_s * 1e3:.0f} ms"


def _headers(told: Told) -> tuple[tuple[bytes, bytes], ...]:
    if told.run_ms is None:
        return told.headers
    return (*told.headers, (b"x-ms-run-fn-exec-ms", b"%.3f" % told.run_ms))


def _end(children: list[Child]) -> None:
    for child in children:
        child.end()
