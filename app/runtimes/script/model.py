"""A scoring script as a model of the `raw` kind: whole requests in, whole answers out."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Mapping
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
from app.runtimes.script.child import Child, Ended, Unfit
from app.runtimes.script.crew import Crew, NotStarted
from app.runtimes.script.environment import environment
from app.runtimes.script.stream import Stream
from app.runtimes.script.told import Told
from app.tensors import (
    Batch,
    Prediction,
    RawBatch,
    RawRequest,
    Reply,
    Signature,
    TensorSpec,
)

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


class ScriptModel:
    """See `Model` and `Apart`; as many calls at once as it has processes."""

    is_steady = False

    def __init__(
        self, start: Callable[[], Child], label: str, processes: int, timeout_s: float
    ) -> None:
        """Raises: as `Child`."""
        self.signature = SIGNATURE
        self.processes = processes
        self._label = label
        self._timeout_s = timeout_s
        self._crew = Crew(start, processes, timeout_s)
        self._finalizer = weakref.finalize(self, self._crew.close)

    @property
    def resident_bytes(self) -> int:
        """What its processes take of memory."""
        return sum(child.resident_bytes for child in self._crew.children)

    @property
    def swagger(self) -> Mapping[str, Any]:
        """`input`, `output` and `versions`, where its decorators declare them; else empty."""
        return self._crew.children[0].swagger

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """See `Model`; the one output is a `Reply`, of streamed answers a whole one.

        Raises: as `answer`.
        """
        assert isinstance(batch, RawBatch)
        try:
            return self._reply(*self._crew.ask(batch.request), batch.request)
        except (Ended, TimeoutError, NotStarted) as error:
            raise self._told(error, batch.request) from error

    async def answer(
        self, batch: Batch, outputs: tuple[str, ...], began: Callable[[float], None]
    ) -> Prediction:
        """See `Apart`; the one output is a `Reply`.

        Raises:
            ModelFailed: `run` raised, or ended its process.
            AnswerInvalid: what it returned is nothing for JSON.
            DeadlineExceeded: it took too long; its process was ended.
            ModelUnavailable: its process had ended, and a new one does not begin.
        """
        assert isinstance(batch, RawBatch)
        try:
            return self._reply(*await self._crew.answer(batch.request, began), batch.request)
        except (Ended, TimeoutError, NotStarted) as error:
            raise self._told(error, batch.request) from error

    def _reply(self, told: Told, body: bytes | Stream, request: RawRequest) -> Prediction:
        """Raises: ServingError: the script has failed."""
        if told.failure:
            raise self._failed(told, request)
        if isinstance(body, Stream):
            body.holds = self  # its processes live as long
        return {"reply": Reply(told.status, _headers(told), body)}

    def _told(self, error: Exception, request: RawRequest) -> ServingError:
        """What a client is told of a process that has not answered."""
        if isinstance(error, TimeoutError):
            return DeadlineExceeded(timed_out(self._timeout_s))
        if isinstance(error, NotStarted):
            text = f"it cannot be started again: {error}"
            return ModelUnavailable(text, retry_after_s=1)
        logger.error("%s: %s", self._label, error, extra=_of(request))
        return ModelFailed(FAILED)

    def _failed(self, told: Told, request: RawRequest) -> ServingError:
        """And its traceback in the log."""
        text = "%s: run() %s\n%s"
        logger.error(text, self._label, _WORDS[told.failure], told.error, extra=_of(request))
        if told.failure == "timeout":
            return DeadlineExceeded(timed_out(self._timeout_s))
        return AnswerInvalid(UNWRITABLE) if told.failure == "unwritable" else ModelFailed(FAILED)


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
        manifest.file,
        environment(os.environ, folder, manifest.environment, manifest.collector),
        (manifest.file.parent,),
        folder,
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


def _of(request: RawRequest) -> dict[str, str]:
    """For lines of the log."""
    return {"request_id": request.request_id}
