"""One start of one server: until its first answer, checked, and stopped again."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench import environments, peers, processes
from bench.peers import HOST, ROOT, Job, Peer, Request
from bench.workloads import Workload

SERVER_CORE: Final = "0"
START_S: Final = 60.0
"""How long a server may take to its first answer."""
ANSWER_S: Final = 60.0
PAUSE_S: Final = 0.01
SETTLE_S: Final = 30.0
IDLE_S: Final = 0.3
IDLE_SHARE: Final = 0.2
"""Of the processor: less than this for `IDLE_S` is a server that has nothing left to answer."""
TOLERANCE: Final = 1e-4
"""Relative; the models compute in float32."""


class Unfit(Exception):
    """A server does not start, or does not answer what the model says; the text says how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Server:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    port: int
    scratch: Path
    log: Path
    request: Request
    """The timed one."""
    first_answer_s: float
    """Seconds from exec to its first right answer."""
    first_answer_processor_s: float
    compared: int
    """Answers that were those of the model."""

    def memory_mb(self) -> float:
        """Resident megabytes now."""
        return processes.memory_mb(self.process.pid)

    def settle(self) -> None:
        """Wait until the requests of the load before are done; empty the log. Blocking.

        wrk leaves without waiting for its last answers, which a slow server still works on.
        """
        until = time.monotonic() + SETTLE_S
        used_s = processes.processor_s(self.process.pid)
        while time.monotonic() < until:
            time.sleep(IDLE_S)
            before_s, used_s = used_s, processes.processor_s(self.process.pid)
            if used_s - before_s < IDLE_SHARE * IDLE_S:
                break
        os.truncate(self.log, 0)


@contextlib.contextmanager
def serving(
    name: str,
    workload: Workload,
    *,
    cores: str = SERVER_CORE,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """The server of that name with that model, on a processor of its own. Blocking.

    `settings`: variables besides those that the peer names.

    Raises:
        Unfit: it does not start or answers wrongly.
        NotInstalled: its environment cannot be made.
    """
    peer = peers.get(name)
    python = environments.python(peers.folder(name))
    with processes.tidied(peer.leaves), tempfile.TemporaryDirectory(prefix="bench-") as place:
        scratch = Path(place)
        job = Job(
            workload.name, workload.model, workload.payload, _free_ports(), scratch / "own", python
        )
        job.scratch.mkdir()
        variables = {**_variables(peer, job), **(settings or {})}
        log = scratch / "log"
        if peer.prepare:
            _run(peer.prepare(job), variables, log)
        command = ["taskset", "-c", cores, *peer.command(job)]
        started = time.perf_counter()
        with log.open("ab") as out:
            process = subprocess.Popen(
                command, cwd=job.scratch, env=variables, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, start_new_session=True,
            )  # fmt: skip
        try:
            request = peer.request(workload.name, workload.checks[0].rows)
            _await(process, job.port, request, log)
            first_s = time.perf_counter() - started
            used_s = processes.processor_s(process.pid)
            for check in workload.checks:
                _check(peer, job.port, workload.name, check.rows, check.expected)
            compared = len(workload.checks)
            yield Server(process, job.port, scratch, log, request, first_s, used_s, compared)
        finally:
            processes.stop(process)


def ask(port: int, request: Request) -> Answer:
    """One request on a connection of its own. Blocking; raises OSError."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_S)
    try:
        connection.request("POST", request.path, request.body, dict(request.headers))
        reply = connection.getresponse()
        headers = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(reply.status, headers, reply.read())
    finally:
        connection.close()


def _variables(peer: Peer, job: Job) -> dict[str, str]:
    """What a server sees of the environment: little, and the same for each."""
    return {
        "PATH": f"{job.python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(job.scratch),
        "TMPDIR": str(job.scratch),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "BENCH_MODEL": str(job.model),
        "BENCH_PAYLOAD": str(job.payload),
        "BENCH_WORKLOAD": job.workload,
        **peer.variables(job),
    }


def _free_ports() -> tuple[int, int, int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(3)]
        for listener in taken:
            listener.bind((HOST, 0))
        first, second, third = (int(listener.getsockname()[1]) for listener in taken)
    return first, second, third


def _run(command: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
    with log.open("ab") as out:
        done = subprocess.run(command, env=variables, stdout=out, stderr=out)
    if done.returncode:
        raise Unfit(f"could not be prepared: {_last_line(log)}")


def _await(process: subprocess.Popen[bytes], port: int, request: Request, log: Path) -> None:
    until = time.monotonic() + START_S
    last = "no answer"
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Unfit(f"ended with exit code {process.returncode}: {_last_line(log)}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = ask(port, request)
            if answer.status == 200:
                return
            last = f"{answer.status} {answer.body[:200].decode(errors='replace')}"
        time.sleep(PAUSE_S)
    raise Unfit(f"no 200 within {START_S:g} s: {last}; {_last_line(log)}")


def _check(peer: Peer, port: int, workload: str, rows: Any, expected: Any) -> None:
    try:
        answer = ask(port, peer.request(workload, rows))
    except (OSError, http.client.HTTPException) as error:
        raise Unfit(f"breaks the connection: {error}") from error
    if answer.status != 200:
        raise Unfit(f"answers {answer.status}: {answer.body[:200].decode(errors='replace')}")
    try:
        found = np.asarray(peer.answer(answer.body, answer.headers)).ravel()
    except (LookupError, TypeError, ValueError) as error:
        told = answer.body[:200].decode(errors="replace")
        raise Unfit(f"answers in another form: {told}") from error
    known = np.asarray(expected).ravel()
    if found.shape != known.shape:
        raise Unfit(f"answers {found.size} values where the model gives {known.size}")
    if not _is_same(found, known):
        raise Unfit(f"answers {found[:4].tolist()} where the model gives {known[:4].tolist()}")


def _is_same(found: npt.NDArray[Any], known: npt.NDArray[Any]) -> bool:
    if known.dtype.kind == "U":
        return bool((found == known).all())
    return found.dtype.kind in "iuf" and np.allclose(found, known, TOLERANCE, 1e-7)


def _last_line(log: Path) -> str:
    """What a server said last."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else "it said nothing"
