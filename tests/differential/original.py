"""azureml-inference-server-http in an environment of its own, serving one script."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.differential.services import Service
from tests.differential.wire import exchange, get

ROOT: Final = Path(__file__).parents[2]
START_S: Final = 60
STOP_S: Final = 30
# It listens on every address and has no setting for it.
_SERVE: Final = """
from azureml_inference_server_http import amlserver
amlserver.DEFAULT_HOST = "127.0.0.1"
amlserver.run()
"""


class NotInstalled(Exception):
    """Its environment is not there; the text says how to make it."""


class NotStarted(Exception):
    """It ended instead of listening."""

    def __init__(self, code: int, log: str) -> None:
        super().__init__(f"exit code {code}: {log}")
        self.code = code
        self.log = log


def python() -> Path:
    """The interpreter of its environment.

    Raises:
        NotInstalled: `make .venv/inference-server` has not been run, or could not make it.
    """
    place = Path(os.environ.get("INFERENCE_SERVER", ROOT / ".venv/inference-server"))
    found = place / "bin/python"
    if not found.exists():
        raise NotInstalled("make .venv/inference-server installs what is compared with")
    return found


@contextlib.contextmanager
def serving(service: Service) -> Iterator[str]:
    """Its URL, for as long as the context lasts. Blocking.

    Raises:
        NotInstalled: as `python`.
        NotStarted: the script cannot be served.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder, "log")
        port = _free_port()
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [python(), "-c", _SERVE, *_arguments(service, port)],
                cwd=service.root,
                env=_environment(service, folder),
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait(process, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            _end(process)


def _arguments(service: Service, port: int) -> list[str]:
    return ["--entry_script", str(service.root / service.entry), "--port", str(port)]


def _environment(service: Service, home: str) -> Mapping[str, str]:
    """Nothing of this process that either server would read."""
    ours = ("SERVE_", "AZUREML_", "AML_", "SERVICE_", "SCORING_", "PYTHONPATH")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    return {**kept, "HOME": home, "PYTHONDONTWRITEBYTECODE": "1", **service.environment}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until a worker answers: the port is open before the script is loaded."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            if exchange(f"http://127.0.0.1:{port}", get("/")).status == 200:
                return
        time.sleep(0.1)
    _end(process)
    raise NotStarted(process.returncode, log.read_text("utf-8", errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and its workers, which are of its own process group."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_S)
