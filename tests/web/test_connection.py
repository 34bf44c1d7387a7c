"""What real and hostile clients do on a connection, byte by byte."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import odd_models
from tests.odd_models import WAITS, Gate, Odd
from tests.server import CLAIM, Server, serving

BODY = b'{"data": "My house is on fire"}'
PATH = f"/score/{CLAIM}".encode()
POST = b"POST " + PATH + b" HTTP/1.1\r\nHost: a\r\n"
LAST = b"Connection: close\r\n"
SIZED = b"Content-Length: %d\r\n" % len(BODY)
NEXT = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def _statuses(received: bytes) -> list[int]:
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    "sent",
    [
        POST + LAST + SIZED + b"\r\n" + BODY,
        POST + LAST + CHUNKED + b"\r\n5\r\n%b\r\n1a\r\n%b\r\n0\r\n\r\n" % (BODY[:5], BODY[5:]),
        POST + LAST + CHUNKED + b"\r\n1f;x=1\r\n" + BODY + b"\r\n0\r\nx-trailer: 1\r\n\r\n",
        POST + SIZED + b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n\r\n" + BODY,
        POST + LAST + SIZED + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + BODY,
    ],
    ids=["sized", "chunked", "chunk extension and trailer", "h2c", "websocket"],
)  # fmt: skip
def test_a_body_is_read_however_it_is_sent(samples: Server, sent: bytes) -> None:
    received = samples.exchange(sent)
    assert _statuses(received) == [200]
    assert received.endswith(b'{"results":0}')


def test_a_client_that_offers_http_2_is_answered_in_http_1_1(samples: Server) -> None:
    command = ["curl", "-sS", "--http2", samples.url + PATH.decode(), "--data", BODY.decode()]
    done = subprocess.run(command, capture_output=True, timeout=30)
    assert (done.stdout, done.stderr) == (b'{"results":0}', b"")


def test_an_offer_to_upgrade_in_small_packets_loses_nothing(samples: Server) -> None:
    sent = POST + SIZED + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + BODY + NEXT
    with socket.create_connection(("127.0.0.1", samples.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(sent), 7):
            connection.sendall(sent[at : at + 7])
            time.sleep(0.001)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert _statuses(received) == [200, 200]
    assert b'{"results":0}' in received


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (POST + LAST + b"Content-Length: 0\r\n\r\n", 400),
        (POST + LAST + b"\r\n", 400),
        (POST + LAST + SIZED + CHUNKED + b"\r\n" + BODY, 400),
        (POST + LAST + SIZED + b"Content-Length: 5\r\n\r\n" + BODY, 400),
        (POST + LAST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + LAST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
        (POST + LAST + b"Content-Length : 5\r\n\r\n", 400),
        (POST + LAST + CHUNKED + b"\r\nxyz\r\n", 400),
        (POST + LAST + b"x-request-id: a\x00b\r\n\r\n", 400),
        (POST + LAST + b"x-request-id: a\r\n b\r\n\r\n", 400),
        (b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"BREW /score HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (POST + LAST + SIZED + b"Content-Encoding: gzip\r\n\r\n" + BODY, 415),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404),
        (b"GET http://other/livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nx: " + b"a" * 1_000_000, 431),
    ],
)
def test_what_is_odd_is_answered_and_leaves_no_traceback(
    samples: Server, sent: bytes, status: int
) -> None:
    assert _statuses(samples.exchange(sent)) == [status]
    assert "Traceback" not in samples.log()


def test_two_requests_in_one_packet_are_answered_in_order(samples: Server) -> None:
    received = samples.exchange(POST + SIZED + b"\r\n" + BODY + NEXT)
    assert _statuses(received) == [200, 200]
    assert received.index(b'{"results":0}') < received.index(b'{"status":"alive"}')


def test_expect_is_answered_before_the_body_is_sent(samples: Server) -> None:
    with socket.create_connection(("127.0.0.1", samples.port), timeout=30) as connection:
        connection.sendall(POST + LAST + SIZED + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_refusal_of_expect_closes_for_the_body_may_never_come(samples: Server) -> None:
    head = POST + SIZED + b"Content-Type: image/png\r\nExpect: 100-continue\r\n\r\n"
    received = samples.exchange(head)
    assert _statuses(received) == [415]
    assert b"connection: close" in received


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A server that takes small bodies, soon, and few at a time."""
    limits = {"SERVE_MAX_BODY_BYTES": "100000", "SERVE_TIMEOUT_S": "1", "SERVE_MAX_IN_FLIGHT": "2"}
    with serving(SERVE_MODELS=CLAIM, **limits) as server:
        yield server


def test_after_a_body_that_is_too_large_the_connection_serves_on(small: Server) -> None:
    large = b"x" * 1_000_000
    sized = POST + b"Content-Length: %d\r\n\r\n" % len(large) + large
    chunked = POST + CHUNKED + b"\r\n%x\r\n" % len(large) + large + b"\r\n0\r\n\r\n"
    for sent in (sized, chunked):
        received = small.exchange(sent + POST + SIZED + b"\r\n" + BODY + NEXT)
        assert _statuses(received) == [413, 200, 200]


def test_a_body_that_does_not_come_is_given_up_at_the_deadline(small: Server) -> None:
    received = small.exchange(POST + SIZED + b"\r\n" + BODY[:5])
    assert _statuses(received) == [504]
    assert b"connection: close" in received


def test_a_client_that_leaves_within_its_body_frees_its_place(small: Server) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", small.port), timeout=30) as connection:
            connection.sendall(POST + SIZED + b"\r\n" + BODY[:5])
            time.sleep(0.02)
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    _wait_until_empty(small)
    assert small.score(CLAIM, "My house is on fire") == 0
    assert '"level":"error"' not in small.log()


def test_a_client_that_leaves_before_its_answer_frees_its_place(tmp_path: Path) -> None:
    odd_models.save(tmp_path / "r", "odd", Odd())
    gate = Gate(tmp_path / "gate")
    with serving(SERVE_REGISTRY=str(tmp_path / "r"), GATE=str(gate.folder)) as server:
        body = json.dumps({"data": WAITS}).encode()
        head = b"POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(head + body)
            gate.wait("predict", 1)
        gate.open()
        _wait_until_empty(server)
        assert server.score("odd", 1.5) == 1.5
        assert '"level":"error"' not in server.log()


def test_a_client_that_leaves_within_a_large_answer_is_no_error(samples: Server) -> None:
    body = json.dumps({"data": ["fire"] * 20_000, "outputs": ["probabilities"]}).encode()
    with socket.create_connection(("127.0.0.1", samples.port), timeout=30) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.recv(10).startswith(b"HTTP/1.1 2")
    _wait_until_empty(samples)
    assert '"level":"error"' not in samples.log()


def _wait_until_empty(server: Server) -> None:
    until = time.monotonic() + 30
    while "requests_in_flight 0.0" not in server.get("/metrics").text:
        assert time.monotonic() < until
        time.sleep(0.02)
