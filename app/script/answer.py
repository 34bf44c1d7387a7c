"""What comes of one request to a script, as the service is told it."""

from __future__ import annotations

import asyncio
import inspect
import json
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .entry import Entry, Refused
from .request import Request

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

_JSON: Final = ("content-type", "application/json")
_RUN_FAILED: Final = "x-ms-run-function-failed"
_NO_CONTENT: Final = (("content-type", "text/html; charset=utf-8"), (_RUN_FAILED, "False"))


@dataclass(slots=True)
class Answer:
    """Status, headers and body; the body of a streamed one comes in `chunks`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    chunks: Iterable[bytes] | None = None
    failure: str = ""
    """`raised`, `timeout` or `unwritable`; empty: `run` has answered, or was not asked."""
    error: str = ""
    """A traceback, for the log."""
    run_ms: float | None = None

    def head(self) -> dict[str, Any]:
        """All but its bytes."""
        return {
            "status": self.status,
            "headers": self.headers,
            "is_streamed": self.chunks is not None,
            "failure": self.failure,
            "error": self.error,
            "run_ms": self.run_ms,
        }


class Answers:
    """Of one script."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._loop: asyncio.AbstractEventLoop | None = None

    def of(self, request: Request, timeout_s: float) -> Answer:
        """Never raises, whatever the script does. Called in the main thread."""
        if request.method == "OPTIONS" and self._entry.kind != "raw":
            return Answer(200, [*_NO_CONTENT])
        try:
            arguments = self._entry.arguments(request)
        except Refused as refused:
            return message(refused.status, refused.message)
        except UnicodeDecodeError:  # of JSON in bytes
            return failed("unwritable")
        started = time.perf_counter()
        try:
            with ending_after(timeout_s):
                given = self._entry.run(**arguments)
                if inspect.isawaitable(given):
                    given = self._awaited(given)
        except TimeoutError:
            return failed("timeout")
        except BaseException:  # noqa: BLE001  # SystemExit too: the script failed, not its process
            return failed("raised")
        ended = time.perf_counter()
        try:
            answer = self._written(given)
        except BaseException:  # noqa: BLE001  # what is written may be the script's, too
            return failed("unwritable")
        answer.run_ms = (ended - started) * 1e3
        return answer

    def _awaited(self, given: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(given)

    def _written(self, given: Any) -> Answer:
        """What `run` gave, as an answer. Raises: TypeError, ValueError: it is nothing for JSON."""
        wrappers = sys.modules.get("werkzeug.wrappers")
        if wrappers is not None and isinstance(given, wrappers.Response):
            return self._passed_on(given)
        body = json.dumps({} if given is None else given)
        return Answer(200, [_JSON, (_RUN_FAILED, "False")], body.encode())

    def _passed_on(self, response: Response) -> Answer:
        if response.status_code >= 500:
            response.headers[_RUN_FAILED] = "True"
        left_out = ("Content-Length", *(["Content-Type"] if response.status_code == 304 else []))
        headers = [(name, value) for name, value in response.headers if name not in left_out]
        if response.is_streamed:
            chunks = self._chunks(response)
            first = next(chunks, b"")  # what cannot be sent at all is told before it begins
            return Answer(response.status_code, headers, chunks=chain([first], chunks))
        return Answer(response.status_code, headers, response.get_data())

    def _chunks(self, response: Response) -> Iterator[bytes]:
        source: Any = response.response
        if isinstance(source, AsyncIterator):
            source = self._stepped(source)
        for chunk in source:
            yield chunk.encode() if isinstance(chunk, str) else bytes(chunk)

    def _stepped(self, source: AsyncIterator[Any]) -> Iterator[Any]:
        async def step(of: AsyncIterator[Any]) -> Any:
            return await anext(of)

        while True:
            try:
                yield self._awaited(step(source))
            except StopAsyncIteration:
                return


@contextmanager
def ending_after(seconds: float) -> Iterator[None]:
    """Raises: TimeoutError, in the middle of what is inside, which may catch it."""
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeoutError


def message(status: int, text: str) -> Answer:
    """What is wrong with a request."""
    return Answer(status, [_JSON, (_RUN_FAILED, "False")], json.dumps({"message": text}).encode())


def failed(failure: str) -> Answer:
    """What the script has done; called while its error is handled."""
    return Answer(500, [], failure=failure, error=traceback.format_exc())
