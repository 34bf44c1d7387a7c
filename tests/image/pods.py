"""A container as Kubernetes would run it: limits, user and rights are real ones."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.startup import free_port
from tests.image.engine import Docker
from tests.server import NATIVE, SAMPLES, Server

USER = 10001
RIGHTS = ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=256")
READ_ONLY = ("--read-only", "--tmpfs=/tmp")
LIMITS = ("--memory=512m", "--memory-swap=512m", "--cpus=1")
POD = (*RIGHTS, *READ_ONLY, *LIMITS, f"--user={USER}")
SAMPLES_MOUNTED = f"--volume={SAMPLES}:/models:ro"
SAMPLE_SETTINGS = {"SERVE_REGISTRY": "file:///models"}


class Pod(Server):
    """One running container; signals go to its process 1, and the exit code is that one's."""

    def __init__(
        self, docker: Docker, name: str, process: subprocess.Popen[bytes], log: Path
    ) -> None:
        super().__init__(process, log)
        self.docker = docker
        self.name = name

    def send_signal(self, number: int) -> None:
        self.docker("kill", f"--signal={signal.Signals(number).name}", self.name)

    def state(self) -> dict[str, Any]:
        """As the engine tells it: Status, ExitCode, OOMKilled, Health."""
        told: dict[str, Any] = json.loads(
            self.docker("inspect", "--format={{json .State}}", self.name)
        )
        return told

    def run(self, *command: str) -> str:
        """What a command inside of it prints."""
        return self.docker("exec", self.name, *command)

    def wait_until_started(self) -> None:
        """Process 1 is there; nothing is said of what it has done."""
        self.wait_until(lambda: self.docker.fields(self.name, "{{.State.Pid}}") not in ("", "0"))

    def wait_until_healthy(self) -> None:
        self.wait_until(lambda: self.state()["Health"]["Status"] == "healthy")


@contextmanager
def pod(
    docker: Docker,
    image: str,
    *command: str,
    wait_for: str = "/readyz",
    options: Sequence[str] = (*POD, SAMPLES_MOUNTED),
    **settings: str,
) -> Iterator[Pod]:
    """One that has answered 200 to `wait_for`, and is removed at the end with its volumes."""
    name = f"aml-serve-{uuid.uuid4().hex[:8]}"
    given = {"SERVE_HOST": "127.0.0.1", "SERVE_PORT": str(free_port()), **settings}
    if SAMPLE_SETTINGS.items() <= settings.items():
        given.setdefault("SERVE_MODELS", NATIVE)  # the others take more than LIMITS leave
    environment = [f"--env={key}={value}" for key, value in given.items()]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [docker.command, "run", f"--name={name}", "--network=host", *environment,
                 *options, image, *command],
                env=dict(docker.environment), stdin=subprocess.DEVNULL,
                stdout=stream, stderr=subprocess.STDOUT,
            )  # fmt: skip
        running = Pod(docker, name, process, log)
        try:
            if wait_for:
                running.wait_for(wait_for)
            yield running
        finally:
            running.session.close()
            docker("rm", "--force", "--volumes", name)
            process.wait(30)
            running.log()


def told(docker: Docker, image: str, *command: str, options: Sequence[str] = POD) -> str:
    """What a command in a container of its own prints; it must succeed."""
    return docker("run", "--rm", "--network=host", *options, image, *command)


def mounted(folder: Path, inside: str) -> str:
    """The option that shows a folder of this machine, which any user may then read."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return f"--volume={folder}:{inside}:ro"
