"""Answers of one turn of the loop leave together, in order, and none is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.web.connection import Connection
from app.web.outbox import Outbox
from tests.web.transport import Written

Log = list[tuple[str, bytes]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CONTINUE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"


class Named(Written):
    """Notes the first line of what is written beside its name, in the order of all."""

    def __init__(self, name: str, log: Log) -> None:
        super().__init__()
        self._name, self._log = name, log

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self._log.append((self._name, data.split(b"\r\n")[0]))


async def answer(scope: Any, receive: Any, send: Any) -> None:
    if scope["method"] == "POST":
        await receive()
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


OK = b"HTTP/1.1 200 OK"


@pytest.fixture
async def three() -> tuple[list[Connection], Log]:
    config = uvicorn.Config(answer, log_config=None, lifespan="off")
    config.load()
    log: Log = []
    state, outbox, connections = ServerState(), Outbox(), []
    for name in "abc":
        connection = Connection(config=config, server_state=state, app_state={}, outbox=outbox)
        connection.connection_made(Named(name, log))
        connections.append(connection)
    return connections, log


async def test_a_lone_answer_leaves_at_once(three: tuple[list[Connection], Log]) -> None:
    (a, _, _), log = three
    a.data_received(GET)
    await asyncio.sleep(0)

    assert log == [("a", OK)]


async def test_answers_of_one_turn_leave_at_its_end_in_order(
    three: tuple[list[Connection], Log],
) -> None:
    connections, log = three
    for connection in connections:
        connection.data_received(GET)
    await asyncio.sleep(0)

    # the last one has nobody to wait for, and takes the others with it
    assert log == [("a", OK), ("b", OK), ("c", OK)]


@pytest.mark.parametrize(
    ("event", "then"),
    [
        (lambda c: c.data_received(b"nonsense\r\n\r\n"), b"HTTP/1.1 400 Bad Request"),
        (lambda c: c.shutdown(), None),
        (lambda c: c.write(b"HTTP/1.1 100 Continue"), b"HTTP/1.1 100 Continue"),
    ],
    ids=["a refusal", "the end", "a word in between"],
)
async def test_nothing_overtakes_an_answer_that_waits(
    three: tuple[list[Connection], Log], event: Any, then: bytes | None
) -> None:
    (a, _, c), log = three
    c.data_received(CONTINUE)  # is at work: it waits for its body
    a.data_received(GET)
    await asyncio.sleep(0)
    assert ("a", OK) not in log
    event(a)
    await asyncio.sleep(0)

    assert [line for name, line in log if name == "a"] == [OK, *([then] if then else [])]


async def test_what_waits_for_a_client_that_has_left_is_dropped(
    three: tuple[list[Connection], Log],
) -> None:
    (a, b, c), log = three
    c.data_received(CONTINUE)
    for connection in (a, b):
        connection.data_received(GET)
    await asyncio.sleep(0)
    a.transport.close()
    await asyncio.sleep(0.001)

    assert [name for name, line in log if line == OK] == ["b"]
