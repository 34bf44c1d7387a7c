"""What wrk counted, read from its script's line; wrk itself only where it is installed."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench import load, overload
from bench.load import NoLoad
from bench.peers import Request

REQUEST = Request("/score", b'{"data": [1]}', {"Content-Type": "application/json", "X-A": "b c"})
COUNTS = {
    **{"requests": 3000, "duration_us": 1_500_000, "p50_us": 1234, "p99_us": 98765},
    **{"connect": 1, "read": 20, "write": 300, "timeout": 4000, "status": 7},
}
wants_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a `wrk` in the way that notes its words, prints a text and ends."""

    def put(text: str, code: int = 0) -> None:
        (tmp_path / "said").write_text(text)
        (tmp_path / "wrk").write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/words\ncat {tmp_path}/said\nexit {code}\n'
        )
        (tmp_path / "wrk").chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(load, "LOAD_CORE", "0")
    return put


def run(tmp_path: Path, port: int = 1, connections: int = 16) -> load.Load:
    return load.run(port, REQUEST, tmp_path, connections=connections, seconds=0.5)


def test_the_line_of_the_script_is_read_after_all_that_wrk_prints(
    tmp_path: Path, says: Callable[..., None]
) -> None:
    says(f"Running 1s test\n  1 threads and 16 connections\n\n{json.dumps(COUNTS)}\n")

    assert run(tmp_path) == load.Load(
        requests_per_s=2000.0, p50_ms=1.234, p99_ms=98.765, requests=3000, refused=7, broken=4321
    )


def test_wrk_is_told_what_to_ask(tmp_path: Path, says: Callable[..., None]) -> None:
    says(json.dumps(COUNTS))
    run(tmp_path, port=8123, connections=64)
    words = (tmp_path / "words").read_text().splitlines()

    assert {"-t1", "-c64", "-d1s", "http://127.0.0.1:8123/score"} <= set(words)
    assert words[words.index("--") + 1 :] == [
        *(str(tmp_path / "body"), "Content-Type", "application/json", "X-A", "b c")
    ]
    assert (tmp_path / "body").read_bytes() == REQUEST.body


def test_a_wrk_that_fails_is_told(tmp_path: Path, says: Callable[..., None]) -> None:
    says("unable to connect to 127.0.0.1:1", code=1)

    with pytest.raises(NoLoad, match="wrk failed: unable to connect"):
        run(tmp_path)


def test_a_load_without_one_answer_has_no_numbers(
    tmp_path: Path, says: Callable[..., None]
) -> None:
    says(json.dumps({**COUNTS, "requests": 0, "p50_us": 0, "p99_us": 0}))

    with pytest.raises(NoLoad, match="no answer on 16 connections within 1 s"):
        run(tmp_path)


def test_the_version_is_told_without_the_licence(says: Callable[..., None]) -> None:
    says("wrk 4.1.0 [epoll] Copyright (C) 2012 Will Glozer\nUsage: wrk\n", code=1)

    assert load.version() == "wrk 4.1.0 [epoll]"


def test_without_wrk_the_bench_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(NoLoad, match="apt-get install wrk"):
        load.version()


class Moody(BaseHTTPRequestHandler):
    """Answers 200, 503 with and without Retry-After, and 500, in turn."""

    protocol_version = "HTTP/1.1"
    # names of headers are written in both ways
    moods = itertools.cycle([(200, {}), (503, {"Retry-After": "1"}), (503, {}), (500, {})])
    asked: tuple[bytes, str | None]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Moody.asked = body, self.headers["X-A"]
        status, headers = next(self.moods)
        same = {"Content-Length": "0", "x-request-id": self.headers.get("x-request-id", "")}
        self.send_response(status)
        for name, value in {**same, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def moody() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Moody) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@wants_wrk
@pytest.mark.long
def test_wrk_counts_answers_of_400_and_more(moody: int, tmp_path: Path) -> None:
    seen = run(tmp_path, moody, connections=1)

    assert Moody.asked == (REQUEST.body, "b c")
    assert abs(seen.refused - 0.75 * seen.requests) <= 1
    assert 0 < seen.p50_ms <= seen.p99_ms < 1000
    assert seen.requests_per_s == pytest.approx(seen.requests, rel=0.2)


@wants_wrk
@pytest.mark.long
def test_wrk_counts_an_overload_by_status_and_times_the_200s(moody: int, tmp_path: Path) -> None:
    seen = load.wrk(overload.SCRIPT, moody, REQUEST, tmp_path, connections=1, seconds=1)
    count = seen["statuses"]["200"]

    assert set(seen["statuses"]) == {"200", "500", "503"}
    assert abs(seen["statuses"]["503"] - 2 * count) <= 2
    assert abs(seen["without_retry_after"] - count) <= 1
    assert 0 < seen["p50_us"] <= seen["p99_us"] < 1e6
