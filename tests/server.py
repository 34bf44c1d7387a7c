"""A server in a process of its own, on a port that the system chooses, over real models."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import requests

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_model"
CLAIM = "claim_classifier_onnx_demo"
NATIVE = f"churn,{CLAIM}"
"""The samples that are no scripts."""
CUSTOMERS: list[dict[str, Any]] = orjson.loads((SAMPLES / "churn/2/schema.json").read_bytes())[
    "examples"
]
START_S = 60
_LISTENING = re.compile(r"listening on (http://[^\s\"]+)")


class Server:
    """One running process; `stop` or the end of `serving` ends it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self._told = ""
        self.url = ""
        self.session = requests.Session()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def log(self) -> str:
        """All that it has written, also when its folder is gone."""
        if self._log.exists():
            self._told = self._log.read_text("utf-8", errors="replace")
        return self._told

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.session.get(self.url + path, timeout=60, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self.session.post(self.url + path, timeout=60, **more)

    def score(self, model: str, data: object, **more: object) -> Any:
        """The `results` of an answer that must be 200."""
        answer = self.post(f"/score/{model}", json={"data": data, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def models(self, **more: Any) -> dict[str, Any]:
        """Name -> what /readyz?verbose tells of it."""
        told = self.get("/readyz?verbose", **more).json()["models"]
        return {model["name"]: model for model in told}

    def exchange(self, sent: bytes, *, half_close: bool = False, wait_s: float = 30) -> bytes:
        """What comes back on a connection of its own until the server closes it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as connection:
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
            return received

    def wait_for(self, path: str, status: int = 200) -> None:
        """Until it listens and answers so."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if not self.url and (match := _LISTENING.search(self.log())):
                self.url = match[1]
            with contextlib.suppress(requests.ConnectionError):
                if self.url and self.get(path).status_code == status:
                    return
            assert self.process.poll() is None, self.log()
            time.sleep(0.02)
        raise AssertionError(f"no {status} from {path}: {self.log()}")

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Until it does."""
        until = time.monotonic() + START_S
        while not holds():
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code."""
        if self.process.poll() is None:
            self.send_signal(number)
        return self.process.wait(30)


def environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Nothing of this process' own settings, and no folder of the user's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SERVE_", "ORT_", "XDG_"))}
    given = {"SERVE_HOST": "127.0.0.1", "SERVE_PORT": "0", "SERVE_REGISTRY": str(SAMPLES)}
    if not settings.keys() & {"SERVE_REGISTRY", "SERVE_MODELS", "SERVE_CONFIG"}:
        given["SERVE_MODELS"] = NATIVE  # the processes of scripts take their time to begin
    return {
        **kept, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1",
        "SERVE_CACHE_DIR": str(home / "cache"), **given, **settings,
    }  # fmt: skip


def start(home: Path, settings: Mapping[str, str], *command: str) -> Server:
    """A server that may not listen yet."""
    log = home / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command or (sys.executable, "-m", "app", "serve"),
            cwd=ROOT,
            env=environment(home, settings),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    return Server(process, log)


@contextlib.contextmanager
def serving(wait_for: str = "/readyz", *command: str, **settings: str) -> Iterator[Server]:
    """A server that has answered 200 to `wait_for`; `settings` are environment variables."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = start(Path(folder), settings, *command)
        try:
            if wait_for:
                server.wait_for(wait_for)
            yield server
        finally:
            server.session.close()
            if server.process.poll() is None:
                server.process.kill()
            server.process.wait(30)
            server.log()


def run(
    home: Path, *arguments: str, stdin: bytes = b"", settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """A command line that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env=environment(home, settings or {}),
        input=stdin,
        capture_output=True,
        timeout=60,
    )
