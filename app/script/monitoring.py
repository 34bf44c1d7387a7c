"""What scripts import as `azureml.ai.monitoring`: tables that they hand over to be collected.

Its names and arguments are those of azureml-ai-monitoring 1.0.0. Where the operator has them
collected, a thread of its own sends them to the service; else they are dropped. Neither fails the
script or holds it up.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from .monitoring_context import CorrelationContext, get_context

PLACE: Final = "AML_SERVE_COLLECTOR"
"""The variable that tells where to (an abstract socket), and of which model; absent: nowhere."""
LARGEST_BYTES: Final = 1024**2
"""Of one table, in memory and as JSON."""
_MOST_WAITING: Final = 100


class Collector:
    """Of the tables of one name."""

    def __init__(self, *, name: str, on_error: Callable[[Exception], Any] | None = None) -> None:
        """`on_error` is told what is wrong with a table; without it that is raised."""
        self.name = name
        self._on_error = on_error or _raise
        place = os.environ.get(PLACE)
        self._sender = Sender(place) if place else None
        if not name:
            self._on_error(ValueError("collection name is not provided"))

    def collect(
        self, data: Any, correlation_context: CorrelationContext | None = None
    ) -> CorrelationContext:
        """A pandas.DataFrame; the context that comes back may be given with another table."""
        context = correlation_context or get_context()
        if self._sender is None:
            return context
        if not all(hasattr(data, each) for each in ("to_json", "copy", "memory_usage")):
            kind = type(data).__name__
            self._on_error(TypeError(f"{kind} is not collected, only pandas.DataFrame is"))
            return context
        self._sender.put(self.name, context.get_id(), data)
        return context


class Sender:
    """A connection and a thread, begun with the first table. What it cannot take is dropped."""

    def __init__(self, place: str) -> None:
        """`place`: socket, registry, name and version."""
        self._socket, *self._ref = place.split(" ")
        self._waiting: queue.Queue[tuple[str, str, Any]] = queue.Queue(_MOST_WAITING)
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_told: set[str] = set()
        self._is_over = False

    def put(self, name: str, of: str, data: Any) -> None:
        """Never waits; a copy, for the script may go on with its table."""
        if self._is_over:
            return
        if int(data.memory_usage(index=False).sum()) > LARGEST_BYTES:
            self._tell_once(name, "a table of more than 1 MiB is not collected")
            return
        with self._beginning:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait((name, of, data.copy()))
        except queue.Full:
            self._tell_once(name, "tables come faster than they are collected; some are dropped")

    def _run(self) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(f"\0{self._socket}")
                connection.sendall(json.dumps(self._ref).encode() + b"\n")
                while True:
                    self._send(connection, *self._waiting.get())
        except OSError as error:  # the service is about to go, and this process with it
            self._is_over = True
            self._tell_once("", f"nothing is collected any more: {error.strerror}")

    def _send(self, connection: socket.socket, name: str, of: str, data: Any) -> None:
        try:
            body = data.to_json(orient="split", index=False, date_format="iso", double_precision=15)
            text = str(body).encode()
        except Exception as error:  # noqa: BLE001  # a table may hold anything
            self._tell_once(name, f"a table is no JSON: {type(error).__name__}")
            return
        if len(text) > LARGEST_BYTES:
            self._tell_once(name, "a table of more than 1 MiB is not collected")
            return
        head = {"collection": str(name), "id": str(of), "size": len(text)}
        connection.sendall(json.dumps(head).encode() + b"\n" + text)

    def _tell_once(self, name: str, what: str) -> None:
        if what not in self._has_told:
            self._has_told.add(what)
            print(f"Collector {name}: {what}", file=sys.stderr)  # noqa: T201  # to the log


def _raise(error: Exception) -> None:
    raise error
