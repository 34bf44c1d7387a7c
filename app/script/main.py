"""The process of one script: told what to load, then asked, until the service goes."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import names
from .answer import Answer, Answers
from .channel import Channel, Closed
from .declared import declared
from .entry import Entry, Unfit, load
from .request import Request


def main() -> None:
    """`argv`: the descriptors of the channel and of a pipe that ends with the service, the script,
    and the folders of its modules."""
    descriptor, alive, file = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    sys.path += [folder for folder in sys.argv[4:] if folder not in sys.path]
    _follow(alive)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the service tells when to end
    sys.argv = [str(file)]
    channel = Channel(socket.socket(fileno=descriptor))
    with suppress(Closed):
        entry = _begin(file, channel)
        if entry is not None:
            _serve(Answers(entry), channel)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of the script keep nobody waiting


def _begin(file: Path, channel: Channel) -> Entry | None:
    """Load the script and call its `init`; None: it failed, which the service is told."""
    names.provide()
    try:
        entry = load(file)
        entry.init()
    except Unfit as error:
        _tell(channel, {"unfit": str(error)})
    except BaseException as error:  # noqa: BLE001  # whatever a script raises
        told = traceback.format_exc()
        _tell(channel, {"failed": _named(error, file), "error": told})
    else:
        _tell(channel, {"kind": entry.kind, "swagger": declared(entry)})
        return entry
    return None


def _named(error: BaseException, file: Path) -> str:
    """Its kind, what could not be imported, and the line of `file`: nothing that it says itself."""
    kind = type(error).__name__
    missing = f" ({error.name})" if isinstance(error, ImportError) and error.name else ""
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_code.co_filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno or 0)
    return f"{kind}{missing} in line {lines[-1]}" if lines else f"{kind}{missing}"


def _serve(answers: Answers, channel: Channel) -> None:
    process = os.getpid()
    while True:
        head, body = channel.receive()
        asked = json.loads(head)
        headers = [(name, value) for name, value in asked["headers"]]
        request = Request(
            asked["method"], asked["path"], asked["query"], headers, body, asked["client"]
        )
        answer = answers.of(request, float(asked["timeout_s"]))
        if os.getpid() != process:
            os._exit(0)  # forked by the script: one of the two answers
        _send(answer, channel)


def _send(answer: Answer, channel: Channel) -> None:
    _tell(channel, answer.head(), answer.body)
    if answer.chunks is None:
        return
    try:
        for chunk in answer.chunks:
            if chunk:
                _tell(channel, {"more": True}, chunk)
    except Closed:
        raise
    except BaseException:  # noqa: BLE001  # whatever a script raises
        _tell(channel, {"more": False, "error": traceback.format_exc()})
    else:
        _tell(channel, {"more": False})


def _tell(channel: Channel, head: dict[str, Any], body: bytes = b"") -> None:
    channel.send(json.dumps(head).encode(), body)


def _follow(alive: int) -> None:
    """End with the service, which nothing but its end closes `alive` in.

    By a signal of the kernel's to this process and all it has started, where there is one: also
    in the middle of a call that lets no other thread run.
    """
    if not hasattr(fcntl, "F_SETSIG"):
        threading.Thread(target=_read, args=(alive,), daemon=True).start()
        return
    fcntl.fcntl(alive, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(alive, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)


def _read(alive: int) -> None:
    os.read(alive, 1)
    os._exit(1)
