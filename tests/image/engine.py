"""A container engine: the one that runs on this machine, else one of our own for a while."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

_START_S = 60
_LONGEST_S = 900
"""Of one build; nothing else takes minutes."""
_ROOT = 0


class Docker:
    """The engine's client."""

    def __init__(self, command: str, socket: Path | None = None) -> None:
        self.command = command
        host = {} if socket is None else {"DOCKER_HOST": f"unix://{socket}"}
        self.environment: Mapping[str, str] = {**os.environ, **host, "DOCKER_BUILDKIT": "1"}

    def runs(self) -> bool:
        """Whether there is an engine."""
        return self._done("version").returncode == 0

    def __call__(self, *arguments: str) -> str:
        """What it prints; it must succeed."""
        done = self._done(*arguments)
        assert done.returncode == 0, f"docker {arguments[0]}: {done.stderr[-8000:]}"
        return done.stdout.strip()

    def fails(self, *arguments: str) -> str:
        """What it complains of; it must fail."""
        done = self._done(*arguments)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def has(self, image: str) -> bool:
        return self._done("image", "inspect", image).returncode == 0

    def pulls(self, image: str) -> bool:
        """Whether it could be fetched from where images are."""
        return self._done("pull", "--quiet", image).returncode == 0

    def fields(self, container: str, form: str) -> str:
        """Of one that may not be there yet: then empty."""
        return self._done("inspect", f"--format={form}", container).stdout.strip()

    def size_bytes(self, image: str) -> int:
        """Of all its layers, unpacked."""
        return int(self("image", "inspect", "--format={{.Size}}", image))

    def _done(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *arguments],
            env=self.environment, capture_output=True, text=True, timeout=_LONGEST_S,
        )  # fmt: skip


@contextmanager
def engine() -> Iterator[Docker]:
    """Skips where there can be none."""
    # Debian's own client has what builds images in it, others have a plug-in that may be missing.
    command = shutil.which("docker", path="/usr/bin") or shutil.which("docker")
    if command is None:
        pytest.skip("no container engine: docker is not installed")
    running = Docker(command)
    if running.runs():
        yield running
        return
    daemon = shutil.which("dockerd")
    if daemon is None or os.geteuid() != _ROOT:
        pytest.skip("no container engine runs, and only root can start one (dockerd)")
    with _own(daemon, command) as docker:
        yield docker


@contextmanager
def _own(daemon: str, command: str) -> Iterator[Docker]:
    """Without a bridge or rules of its own: all that it runs has the machine's network, or none."""
    folder = Path(tempfile.mkdtemp(prefix="aml-serve-engine-"))
    paths = [f"--{name}={folder / name}" for name in ("data-root", "exec-root", "pidfile")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [daemon, *paths, f"--host=unix://{folder / 'socket'}", "--iptables=false",
             "--bridge=none", "--oom-score-adjust=0"],
            stdout=log, stderr=log, process_group=0,
        )  # fmt: skip
    try:
        docker = Docker(command, folder / "socket")
        until = time.monotonic() + _START_S
        while not docker.runs():
            told = (folder / "log").read_text()
            assert process.poll() is None, f"dockerd does not start: {told[-4000:]}"
            assert time.monotonic() < until, f"dockerd does not answer: {told[-4000:]}"
            time.sleep(0.1)
        yield docker
    finally:
        process.terminate()
        process.wait(60)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if (place := line.split()[1]).startswith(str(folder)):  # what it leaves mounted
                subprocess.run(["umount", "--lazy", place])
        shutil.rmtree(folder)
