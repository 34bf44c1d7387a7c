"""Several workers at one address, in real processes: started, counted together, started again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests import odd_models
from tests.server import CLAIM, ROOT, Server, serving

TEXT = "My house is on fire"
READY = f"{CLAIM}:1 is ready"


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def two_workers(**settings: str) -> Iterator[Server]:
    """A server both of whose workers are ready."""
    with serving(SERVE_WORKERS="2", SERVE_MODELS=CLAIM, **settings) as server:
        until(lambda: server.log().count(READY) == 2)
        yield server


def children(process: int) -> list[int]:
    """Their process ids; also of those that nobody has waited for."""
    found = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(each) for each in found.split()]


def workers(server: Server) -> list[int]:
    """Their process ids."""
    return children(server.process.pid)


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Does nothing meanwhile, so that others answer."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def metrics(server: Server) -> dict[str, float]:
    """The sum of each name, by a connection of its own."""
    text = requests.get(f"{server.url}/metrics", timeout=30).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("route") in (None, "/score/{model}"):
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def answered(server: Server) -> float:
    return metrics(server).get("http_server_request_duration_seconds_count", 0)


def scored(server: Server, count: int) -> None:
    """So many requests, each by a connection of its own."""
    for _ in range(count):
        url = f"{server.url}/score/{CLAIM}"
        assert requests.post(url, json={"data": TEXT}, timeout=30).json() == {"results": 0}


def sockets(process: int) -> int:
    fds = Path(f"/proc/{process}/fd")
    return sum(os.readlink(fd).startswith("socket:") for fd in fds.iterdir())


def has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_connections_spread_over_the_workers_which_all_answer() -> None:
    with two_workers() as server, ExitStack() as connections:
        server.session.close()
        idle = [sockets(each) for each in workers(server)]
        for _ in range(16):
            client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            connections.enter_context(client)
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        has = [sockets(each) - before for each, before in zip(workers(server), idle, strict=True)]

    assert min(has) >= 6


def test_the_metrics_of_each_worker_are_those_of_all() -> None:
    with two_workers() as server:
        first, second = workers(server)
        with stopped(first):
            scored(server, 5)
        time.sleep(1.5)  # nobody has asked the second, which tells the first by itself
        with stopped(second):
            assert answered(server) == 5
            scored(server, 2)
            told = metrics(server)
        with stopped(first):
            assert answered(server) == 7

    assert told["http_server_request_duration_seconds_count"] == 7
    assert told["model_rows_total"] == told["model_requests_total"] == 7
    assert told["model_ready"] == 1
    assert told["model_memory_bytes"] == told["pool_bytes"] > 0
    assert told["requests_in_flight"] == 0


def test_a_killed_worker_is_started_again_and_its_counts_stay() -> None:
    with two_workers() as server:
        first, second = workers(server)
        with stopped(second):
            scored(server, 3)
        until(lambda: answered(server) == 3)
        time.sleep(1.5)  # what the first counted is told by now
        os.kill(first, signal.SIGKILL)
        scored(server, 2)  # by the other
        totals = [answered(server)]
        until(lambda: server.log().count(READY) == 3)
        totals.append(answered(server))
        with stopped(second):
            scored(server, 1)
            totals.append(answered(server))
        until(lambda: answered(server) == 6)
        again = workers(server)
        assert server.stop() == 0
        assert "worker 0 was ended by SIGKILL; starting it again in 0 s" in server.log()

    assert totals == [5, 5, 6]
    assert second in again
    assert first not in again


@pytest.mark.long
def test_of_four_workers_one_of_which_was_killed_the_metrics_are_the_sum(tmp_path: Path) -> None:
    odd_models.save(tmp_path / "registry", "odd", odd_models.Odd())
    asked = {
        200: {"data": [[1]]},
        400: {"nothing": 1},
        422: {"data": [["x"]]},
        502: {"data": [[odd_models.RAISES]]},
    }
    with serving(SERVE_WORKERS="4", SERVE_REGISTRY=str(tmp_path / "registry")) as server:
        until(lambda: server.log().count("odd:1 is ready") == 4)
        sent = Counter[int]()
        for number in range(200):
            given = asked[list(asked)[number % 4]]
            sent[requests.post(f"{server.url}/score/odd", json=given, timeout=30).status_code] += 1
            if number == 99:
                time.sleep(1.5)  # what was counted is told by now
                os.kill(workers(server)[2], signal.SIGKILL)
        until(lambda: server.log().count("odd:1 is ready") == 5)
        until(lambda: by_status(server) == sent)

    assert sent == dict.fromkeys(asked, 50)


def by_status(server: Server) -> Counter[int]:
    """Requests for scores that /metrics counts."""
    text = requests.get(f"{server.url}/metrics", timeout=30).text
    found = Counter[int]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            is_count = sample.name == "http_server_request_duration_seconds_count"
            if is_count and sample.labels["route"] == "/score/{model}":
                found[int(sample.labels["status"])] += int(sample.value)
    return found


def test_the_workers_end_with_a_supervisor_that_is_killed() -> None:
    with two_workers() as server:
        processes = workers(server)
        server.process.kill()
        until(lambda: all(has_ended(each) for each in processes))


def test_a_supervisor_is_light_and_its_workers_are_not_in_its_process_group() -> None:
    with two_workers() as server:
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        groups = {os.getpgid(each) for each in (server.process.pid, *workers(server))}

    assert "numpy" not in maps
    assert "onnxruntime" not in maps
    assert len(groups) == 3


NAMESPACE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
LEAVES = """
import os, sys, time
if "worker" in sys.orig_argv and os.fork() == 0:
    if os.fork() == 0:
        print("left behind", flush=True)
        time.sleep(0.1)
    os._exit(0)
"""


can_be_process_1 = pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"]).returncode != 0,
    reason="no process can be made process 1 here",
)


@can_be_process_1
def test_as_process_1_it_takes_signals_and_reaps_what_others_left(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LEAVES)
    command = (*NAMESPACE, sys.executable, "-m", "app", "serve")
    settings = {"SERVE_WORKERS": "2", "SERVE_MODELS": CLAIM, "PYTHONPATH": str(tmp_path)}
    with serving("/readyz", *command, **settings) as server:
        until(lambda: server.log().count(READY) == 2)
        (supervisor,) = children(server.process.pid)
        until(lambda: len(children(supervisor)) == 2)
        os.kill(supervisor, signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert "left behind" in server.log()


STOPPED_EARLY = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"


@pytest.mark.parametrize(
    ("namespace", "code"),
    [pytest.param(NAMESPACE, 143, marks=can_be_process_1), pytest.param((), -signal.SIGTERM)],
)
def test_a_stop_that_comes_while_python_starts_is_heeded_as_the_image_starts_it(
    tmp_path: Path, namespace: tuple[str, ...], code: int
) -> None:
    (tmp_path / "sitecustomize.py").write_text(STOPPED_EARLY)
    (entry_point,) = re.findall(r"(?m)^ENTRYPOINT (.*)$", Path(ROOT, "Dockerfile").read_text())
    *holding_back, _ = json.loads(entry_point)
    command = [*namespace, *holding_back, sys.executable, "-m", "app", "serve"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert subprocess.run(command, cwd=ROOT, env=environment, timeout=60).returncode == code


@pytest.mark.parametrize("folder", ["runs", "runs/lock"])
def test_counts_that_cannot_be_shared_do_not_stop_the_serving(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if folder == "runs/lock" else path.touch()
    with two_workers(SERVE_CACHE_DIR=str(tmp_path)) as server:
        scored(server, 4)
        assert 0 <= answered(server) <= 4
        time.sleep(1.5)
        assert server.stop() == 0
        assert server.log().count("/metrics tells of one") == 2  # once by each worker


FAILING = """
import pathlib, sys
from app import supervisor
from app.telemetry import logs
logs.configure("info", "text")
supervisor._FIRST_PAUSE_S = supervisor._LONGEST_PAUSE_S = 0.01
def command(seat):
    return [sys.executable, "-c", sys.argv[1 + seat.worker], str(seat.shares), str(seat.worker)]
sys.exit(supervisor.Supervisor(command, [], pathlib.Path("."), 2).run())
"""
SERVES = """
import os, pathlib, signal, sys, time
from app.web.listeners import Shares
Shares(int(sys.argv[1])).tell(int(sys.argv[2]), 0)
"""
DIES = SERVES + "open('starts', 'a').write('x'); sys.exit(3)"
LIVES = (
    SERVES
    + """
starts = pathlib.Path("starts")
while not starts.exists() or len(starts.read_text()) < 8:
    time.sleep(0.01)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
os.kill(os.getppid(), signal.SIGTERM)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
time.sleep(30)
"""
)


@pytest.mark.parametrize("first", [DIES, LIVES])
def test_it_gives_up_when_workers_die_again_and_again_and_none_lives(
    tmp_path: Path, first: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING, first, DIES],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    starts = len((tmp_path / "starts").read_text())

    assert (done.returncode == 1) is (first is DIES), done.stderr
    assert starts >= (8 if first is LIVES else 5)
    assert ("it is the last, so the server ends" in done.stderr) is (first is DIES)
    assert " ended with exit code 3; starting it again in 0.01 s" in done.stderr
