"""One process of a script, as the service sees it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

import app.script
from app.manifest import Script
from app.runtimes.script import said
from app.script.channel import Channel, Closed
from app.tensors import RawRequest

_FOLDER: Final = Path(app.script.__file__).parent
_BEGIN: Final = (
    "import sys; from importlib.util import module_from_spec, spec_from_file_location as spec\n"
    "found = spec('aml_serve_script', {file!r}, submodule_search_locations=[{folder!r}])\n"
    "module = sys.modules['aml_serve_script'] = module_from_spec(found)\n"
    "found.loader.exec_module(module)\n"
    "from aml_serve_script.main import main\n"
    "main()\n"
).format(file=str(_FOLDER / "__init__.py"), folder=str(_FOLDER))
"""Under a name of its own: a script may have a module called `app`."""


logger = logging.getLogger(__name__)


_GRACE_S: Final = 1.0


class Ended(Exception):
    """The process has; the text says how."""


class Unfit(Exception):
    """The script cannot be served; the text says why."""


@dataclass(frozen=True, slots=True)
class Told:
    """A head that a script's process has sent, as far as it is what it should be."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    is_streamed: bool
    failure: str
    """Of the script: `raised`, `timeout` or `unwritable`; empty: none."""
    error: str
    """A traceback, for the log."""
    run_ms: float | None

    @classmethod
    def of(cls, head: bytes) -> Told:
        """Raises: ValueError: it is not."""
        told = orjson.loads(head)
        try:
            headers = tuple(
                (str(name).lower().encode("latin-1"), str(value).encode("latin-1", "replace"))
                for name, value in told["headers"]
            )
            run_ms = None if told["run_ms"] is None else float(told["run_ms"])
            status = int(told["status"])
            is_streamed, failure = bool(told["is_streamed"]), str(told["failure"])
            return cls(status, headers, is_streamed, failure, str(told["error"]), run_ms)
        except (KeyError, TypeError) as error:
            raise ValueError("an answer without what it must have") from error


class Child:
    """Asked by one thread at a time. Its methods block."""

    def __init__(self, script: Script, label: str, start_s: float) -> None:
        """Begins the process, and waits until the script's `init` has returned.

        Raises:
            Unfit: it is no scoring script, or its `init` raised.
            Ended: the process ended, or took longer than `start_s`.
        """
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own code, by our own interpreter
                [sys.executable, "-P", "-c", _BEGIN, *map(str, self._told(theirs, script))],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=script.folder,
                env=script.environ,
                start_new_session=True,
            )
        os.close(writing)
        said.listen(reading, label)
        self._channel = Channel(ours)
        self._label = label
        try:
            self._begin(start_s)
        except BaseException:
            self.end()
            raise

    @staticmethod
    def _told(theirs: socket.socket, script: Script) -> tuple[object, ...]:
        return theirs.fileno(), os.getpid(), script.file, *script.imports

    @property
    def resident_bytes(self) -> int:
        """What it takes of memory now."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def ask(self, request: RawRequest, timeout_s: float) -> tuple[Told, bytes]:
        """What its script answers; of a streamed answer the rest is in `chunks`.

        Its own clock ends `run` after `timeout_s`; where that does not help, this one the process.

        Raises:
            Ended: it has.
            TimeoutError: it was ended.
        """
        head = orjson.dumps(
            {
                "method": request.method,
                "path": request.path,
                "query": request.query.decode("latin-1"),
                "client": request.client,
                "timeout_s": timeout_s,
                "headers": [
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in request.headers
                ],
            }
        )
        until = time.monotonic() + timeout_s + _GRACE_S
        try:
            self._channel.set_timeout(timeout_s + _GRACE_S)
            self._channel.send(head, request.body)
            told, body = self._receive(until)
            return Told.of(told), body
        except TimeoutError:
            self.end()
            raise
        except (Closed, ValueError) as error:
            raise Ended(self.end()) from error

    def chunks(self, timeout_s: float) -> Iterator[bytes]:
        """Of the streamed answer that has begun; each within `timeout_s`. Raises: as `ask`."""
        try:
            while True:
                head, body = self._receive(time.monotonic() + timeout_s)
                told = orjson.loads(head)
                if not told.get("more"):
                    break
                yield body
        except TimeoutError:
            self.end()
            raise
        except (Closed, ValueError) as error:
            raise Ended(self.end()) from error
        if told.get("error"):
            logger.error("%s: what it streams raised\n%s", self._label, told["error"])
            raise Ended("what it streams raised")

    def end(self) -> str:
        """It and all that it has started; says how it ended by itself, if it did."""
        with suppress(OSError):
            self._channel.close()
        code = self._process.poll()
        if code is None:
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(0.05)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if code is None:
            return "its process was ended"
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process ended with {name}"

    @property
    def has_ended(self) -> bool:
        """It answers no more."""
        return self._process.poll() is not None

    def _begin(self, start_s: float) -> None:
        try:
            head, _ = self._receive(time.monotonic() + start_s)
        except TimeoutError:
            raise Ended(f"its init() took longer than {start_s:g} s") from None
        except (Closed, ValueError) as error:
            raise Ended(f"{self.end()} before its init() had returned") from error
        told: Mapping[str, Any] = orjson.loads(head)
        if "unfit" in told:
            raise Unfit(str(told["unfit"]))
        if "failed" in told:
            logger.error("%s: its start raised\n%s", self._label, told.get("error", ""))
            raise Unfit(f"it raised {told['failed']} at its start; the log has the details")
        self.kind = str(told.get("kind"))
        self.swagger: Mapping[str, Any] = told.get("swagger") or {}
        """`input`, `output` and `versions`, where its decorators declare them."""

    def _receive(self, until: float) -> tuple[bytes, bytes]:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._channel.set_timeout(left_s)
        return self._channel.receive()
