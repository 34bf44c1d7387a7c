"""How a server process starts, refuses to start, and stops."""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests import odd_models
from tests.clients import TEXT, Load
from tests.odd_models import WAITS, Gate, Odd, SlowToLoad
from tests.server import CLAIM, Server, run, serving

AML_SERVE = str(Path(sys.executable).with_name("aml-serve"))


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def odd(tmp_path: Path, gate: Gate) -> dict[str, str]:
    """Settings for a registry with one model that waits at the gate when asked to."""
    odd_models.save(tmp_path / "registry", "odd", Odd())
    return {"SERVE_REGISTRY": str(tmp_path / "registry"), "GATE": str(gate.folder)}


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "command",
    [(sys.executable, "-m", "app", "serve"), (AML_SERVE, "serve")],
)
def test_either_command_serves_until_a_signal(
    command: tuple[str, ...], number: int, workers: str
) -> None:
    with serving("/readyz", *command, SERVE_MODELS=CLAIM, SERVE_WORKERS=workers) as server:
        assert server.score(CLAIM, TEXT) == 0
        assert server.stop(number) == 0
        assert "Traceback" not in server.log()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"SERVE_PORT": "http"}, ["SERVE_PORT", "a whole number"]),
        ({"SERVE_TIMEOUT_S": "0"}, ["SERVE_TIMEOUT_S", "above 0"]),
        ({"SERVE_REGISTY": "x"}, ["SERVE_REGISTY", "did you mean SERVE_REGISTRY?"]),
        ({"SERVE_REGISTRY": ""}, ["SERVE_REGISTRY", "not set"]),
        ({"SERVE_REGISTRY": "file:///none/such"}, ["SERVE_REGISTRY", "No such file"]),
        ({"SERVE_REGISTRY": "/dev/null"}, ["SERVE_REGISTRY", "Not a directory"]),
        ({"SERVE_CACHE_DIR": "/dev/null/x"}, ["SERVE_CACHE_DIR", "Not a directory"]),
        ({"SERVE_CACHE_DIR": "/proc/none"}, ["SERVE_CACHE_DIR", "No such file"]),
        ({"SERVE_HOST": "192.0.2.1"}, ["SERVE_HOST", "192.0.2.1"]),
        ({"SERVE_HOST": "no.such.host.invalid"}, ["SERVE_HOST", "no.such.host.invalid"]),
    ],
)
def test_what_cannot_be_served_with_is_refused_in_one_line(
    tmp_path: Path, settings: dict[str, str], words: list[str], workers: str
) -> None:
    done = run(tmp_path, "serve", settings={**settings, "SERVE_WORKERS": workers})
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert all(word in line for word in words), line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_told_before_anything_is_loaded(tmp_path: Path, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(tmp_path, "serve", settings={"SERVE_PORT": port, "SERVE_WORKERS": workers})
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert "SERVE_PORT" in line
    assert f"127.0.0.1:{port}" in line
    assert "in use" in line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_localhost_is_listened_to_on_each_of_its_addresses(workers: str) -> None:
    settings = {"SERVE_HOST": "localhost", "SERVE_MODELS": CLAIM, "SERVE_WORKERS": workers}
    with serving("/readyz", **settings) as server:
        addresses = {a[4][0] for a in socket.getaddrinfo("localhost", 80)}
        heard = server.log().count("listening on http://")
        assert 1 <= heard <= int(workers) * len(addresses)
        assert requests.get(f"http://127.0.0.1:{server.port}/livez", timeout=30).ok


@pytest.mark.parametrize("form", ["json", "text"])
def test_the_log_has_a_line_for_each_request_in_the_form_asked_for(form: str) -> None:
    with serving(SERVE_LOG_FORMAT=form, SERVE_MODELS=CLAIM) as server:
        server.post(f"/score/{CLAIM}", json={"data": TEXT}, headers={"x-request-id": "my-id"})
        assert server.stop() == 0
        lines = [line for line in server.log().splitlines() if "POST /score/{model} 200" in line]
    assert len(lines) == 1
    assert TEXT not in lines[0]
    if form == "json":
        told = json.loads(lines[0])
        assert (told["request_id"], told["model"], told["status"]) == ("my-id", CLAIM, 200)
    else:
        assert not lines[0].startswith("{")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_drained_server_fails_no_request_and_exits_cleanly(workers: str) -> None:
    with serving(SERVE_MODELS=CLAIM, SERVE_DRAIN_S="1", SERVE_WORKERS=workers) as server:
        load = Load(server, 4)
        server.wait_for("/metrics")
        server.send_signal(signal.SIGTERM)
        server.wait_for("/readyz", 503)
        drained = server.get("/livez")
        accepted = requests.post(f"{server.url}/score/{CLAIM}", json={"data": TEXT}, timeout=30)
        load.stop()
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.log()
    assert (drained.status_code, drained.headers["connection"]) == (200, "close")
    assert (accepted.status_code, accepted.headers["connection"]) == (200, "close")
    assert set(load.outcomes) <= {"200", "200 close"}
    assert load.outcomes["200 close"] > 0


@pytest.mark.long
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_endpoint_that_is_removed_five_seconds_late_fails_no_request(workers: str) -> None:
    with serving(SERVE_MODELS=CLAIM, SERVE_DRAIN_S="6", SERVE_WORKERS=workers) as server:
        load = Load(server, 4)
        new = Load(server, 2, keep_alive=False)
        time.sleep(1)
        server.send_signal(signal.SIGTERM)
        time.sleep(5)  # nobody has told the load balancer yet
        load.stop()
        new.stop()
        assert server.process.wait(30) == 0
    assert set(load.outcomes) == {"200", "200 close"}
    assert set(new.outcomes) <= {"200", "200 close"}
    assert min(load.outcomes["200 close"], new.outcomes["200 close"]) > 100


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_inside_is_answered_before_the_server_goes(
    odd: dict[str, str], gate: Gate, workers: str
) -> None:
    with serving(**odd, SERVE_WORKERS=workers) as server:
        answers: list[requests.Response] = []
        client = threading.Thread(
            target=lambda: answers.append(server.post("/score", json={"data": WAITS}))
        )
        client.start()
        gate.wait("predict", 1)
        server.send_signal(signal.SIGTERM)
        _wait_until_refused(server)
        gate.open()
        client.join(30)
        assert server.process.wait(30) == 0
    assert answers[0].json() == {"results": WAITS}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_while_a_model_is_loading_ends_the_server(
    tmp_path: Path, gate: Gate, workers: str
) -> None:
    odd_models.save(tmp_path / "registry", "slow", SlowToLoad())
    settings = {"SERVE_REGISTRY": str(tmp_path / "registry"), "GATE": str(gate.folder)}
    with serving("/livez", **settings, SERVE_WORKERS=workers) as server:
        gate.wait("load", 1)
        assert server.stop() == 0
        assert "Traceback" not in server.log()


EARLY = """
import os, signal, sys
def hook(event, arguments):
    if event == "import" and arguments[0] == "app.main":
        os.kill(os.getpid(), signal.SIGTERM)
sys.addaudithook(hook)
"""


def test_a_signal_before_anything_is_served_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(EARLY)
    done = run(tmp_path, "serve", settings={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_does_not_wait_for_what_is_inside(
    odd: dict[str, str], gate: Gate, workers: str
) -> None:
    body = json.dumps({"data": WAITS}).encode()
    head = b"POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    settings = {"SERVE_DRAIN_S": "100", "SERVE_WORKERS": workers, **odd}
    with serving(**settings) as server, _connected(server) as connection:
        connection.sendall(head + body)
        gate.wait("predict", 1)
        server.send_signal(signal.SIGTERM)
        server.wait_for("/readyz", 503)
        server.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_idle_connection_does_not_hold_the_server_back(workers: str) -> None:
    settings = {"SERVE_MODELS": CLAIM, "SERVE_TIMEOUT_S": "1000", "SERVE_WORKERS": workers}
    with serving(**settings) as server, _connected(server) as idle:
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.get("/livez").status_code == 200
        assert server.stop() == 0


def _connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def _wait_until_refused(server: Server) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            requests.get(f"{server.url}/livez", timeout=30)
        except requests.ConnectionError:
            return
        time.sleep(0.02)
    raise AssertionError("still accepting")


def test_linear_algebra_stays_in_the_thread_of_the_call(tmp_path: Path) -> None:
    odd_models.save(tmp_path, "threads", odd_models.Threads())
    for workers in ("1", "2"):
        with serving(SERVE_REGISTRY=str(tmp_path), SERVE_WORKERS=workers) as server:
            assert server.score("threads", [[1.0]]) == [1.0]
