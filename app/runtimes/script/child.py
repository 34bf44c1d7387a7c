"""One process of a script, as the service sees it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

import app.script
from app.manifest import Script
from app.runtimes.script import said
from app.runtimes.script.told import BROKEN, More, Told, head_of
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


GRACE_S: Final = 1.0
"""After which the process is ended, where its own clock has not ended `run`."""


class Ended(Exception):
    """The process has; the text says how."""


class Unfit(Exception):
    """The script cannot be served; the text says why."""


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
        alive, ours_alive = os.pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own code, by our own interpreter
                [sys.executable, "-P", "-c", _BEGIN, *map(str, self._told(theirs, alive, script))],
                pass_fds=[theirs.fileno(), alive],
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                cwd=script.folder,
                env=script.environ,
                start_new_session=True,
            )
        os.close(writing)
        os.close(alive)
        weakref.finalize(self, os.close, ours_alive)  # it ends with this object, too
        said.listen(reading, label)
        self._channel = Channel(ours)
        self.label = label
        try:
            self._begin(start_s)
        except BaseException:
            self.end()
            raise

    @staticmethod
    def _told(theirs: socket.socket, alive: int, script: Script) -> tuple[object, ...]:
        return theirs.fileno(), alive, script.file, *script.imports

    @property
    def resident_bytes(self) -> int:
        """What it takes of memory now."""
        try:
            pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def ask(self, request: RawRequest, timeout_s: float) -> tuple[Told, bytes]:
        """What its script answers; a streamed answer whole.

        Its own clock ends `run` after `timeout_s`; where that does not help, this one the process.

        Raises:
            Ended: it has.
            TimeoutError: it was ended.
        """
        until = time.monotonic() + timeout_s + GRACE_S
        try:
            self._channel.set_timeout(timeout_s + GRACE_S)
            self._channel.send(head_of(request, timeout_s), request.body)
            head, body = self._receive(until)
            told = Told.of(head)
            if told.is_streamed:
                body = b"".join(self._chunks(timeout_s))
            return told, body
        except TimeoutError:
            self.end()
            raise
        except (Closed, ValueError) as error:
            raise Ended(self.end()) from error

    def connection(self) -> socket.socket:
        """For who asks it in place of `ask`, from now on."""
        return self._channel.connection()

    def kill(self) -> None:
        """End it and all that it has started, without waiting for that."""
        with suppress(OSError):
            self._channel.close()
        self._signal()
        with suppress(RuntimeError):  # this process ends, too
            threading.Thread(target=self._process.wait, daemon=True).start()

    def end(self) -> str:
        """It and all that it has started; says how it ended by itself, if it did."""
        with suppress(OSError):
            self._channel.close()
        code = self._process.poll()
        if code is None:
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(0.05)
        self._signal()
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
            logger.error("%s: its start raised\n%s", self.label, told.get("error", ""))
            raise Unfit(f"it raised {told['failed']} at its start; the log has the details")
        self.kind = str(told.get("kind"))
        self.swagger: Mapping[str, Any] = told.get("swagger") or {}
        """`input`, `output` and `versions`, where its decorators declare them."""

    def _signal(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _chunks(self, timeout_s: float) -> Iterator[bytes]:
        """Of a streamed answer; each within `timeout_s`. Raises: Ended: there will be no more."""
        while True:
            head, body = self._receive(time.monotonic() + timeout_s)
            more = More.of(head)
            if more.error:
                logger.error("%s: %s\n%s", self.label, BROKEN, more.error)
                raise Ended(BROKEN)
            if not more.is_there:
                return
            yield body

    def _receive(self, until: float) -> tuple[bytes, bytes]:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._channel.set_timeout(left_s)
        return self._channel.receive()
