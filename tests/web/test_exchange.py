"""What one exchange writes for what an application sends, and what it refuses to write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.web.connection import Connection
from tests.web.transport import Written

GET = b"GET /a%20b?c=d HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
START = {"type": "http.response.start", "status": 200}
SIZED = {**START, "headers": [(b"content-length", b"4")]}
BODY = {"type": "http.response.body", "body": b"abcd"}
PART = {"type": "http.response.body", "body": b"ab", "more_body": True}
END = {"type": "http.response.body", "body": b"", "more_body": False}
FAILED = b"HTTP/1.1 500 Internal Server Error\r\n"


async def exchanged(app: Callable[..., Any], request: bytes = GET) -> Written:
    """What is written for `request`, once the application has ended."""
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    connection = Connection(config=config, server_state=ServerState(), app_state={})
    transport = Written()
    connection.connection_made(transport)
    connection.data_received(request)
    await asyncio.gather(*connection.tasks)
    connection.connection_lost(ConnectionResetError())
    return transport


def sends(*messages: dict[str, Any]) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


async def test_head_and_body_leave_in_one_write() -> None:
    transport = await exchanged(sends(SIZED, BODY))

    assert transport.writes == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd"]
    assert not transport.is_closed


async def test_a_body_of_unknown_length_is_chunked() -> None:
    transport = await exchanged(sends(START, PART, PART, END))
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

    assert transport.writes == [head + b"2\r\nab\r\n", b"2\r\nab\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize(
    ("start", "request_", "written"),
    [
        (SIZED, HEAD, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"),
        ({**START, "status": 204}, GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
async def test_some_answers_have_no_body(
    start: dict[str, Any], request_: bytes, written: bytes
) -> None:
    transport = await exchanged(sends(start, END if start is not SIZED else BODY), request_)

    assert b"".join(transport.writes) == written


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-a", b"b\r\nx-evil: c")],
        [(b"x-a", b"b\nx-evil: c")],
        [(b"x-a", b"b\rc")],
        [(b"x-a", b"b\0c")],
        [(b"x-a\r\nx-evil", b"b")],
    ],
)
async def test_no_header_can_make_another_one(
    headers: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        transport = await exchanged(sends({**SIZED, "headers": headers}, BODY))

    assert b"".join(transport.writes).startswith(FAILED)
    assert b"evil" not in b"".join(transport.writes)
    assert transport.is_closed
    assert "the application raised" in caplog.text


@pytest.mark.parametrize(
    "messages",
    [
        (BODY,),
        (SIZED, SIZED),
        (SIZED,),
        (),
        (SIZED, {**BODY, "body": b"abc"}),
        (SIZED, {**BODY, "body": b"abcde"}),
    ],
    ids=["no start", "two starts", "no body", "nothing", "too few bytes", "too many bytes"],
)
async def test_what_is_no_answer_is_a_500_that_ends_the_connection(
    messages: tuple[dict[str, Any], ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        transport = await exchanged(sends(*messages))

    assert b"".join(transport.writes).startswith(FAILED)
    assert transport.is_closed


async def test_an_answer_that_breaks_off_ends_the_connection_for_what_has_left_has_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        transport = await exchanged(sends(START, PART))

    assert len(transport.writes) == 1
    assert transport.is_closed


async def test_more_than_an_answer_is_refused() -> None:
    refused: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(SIZED)
        await send(BODY)
        with pytest.raises(RuntimeError, match="complete") as caught:
            await send(BODY)
        refused.append(str(caught.value))

    transport = await exchanged(app)
    assert (len(refused), len(transport.writes), transport.is_closed) == (1, 1, False)


async def test_an_application_hears_that_its_client_has_left() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.extend([(await receive())["type"], (await receive())["type"]])
        await send(SIZED)
        await send(BODY)

    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    connection = Connection(config=config, server_state=ServerState(), app_state={})
    transport = Written()
    connection.connection_made(transport)
    connection.data_received(GET)
    await asyncio.sleep(0)
    connection.connection_lost(None)
    await asyncio.gather(*connection.tasks)

    assert heard == ["http.request", "http.disconnect"]
    assert transport.writes == []


async def test_the_scope_tells_path_and_query_as_they_came_and_as_they_are_meant() -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)
        await sends(SIZED, BODY)(scope, receive, send)

    await exchanged(app)
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("/a b", b"/a%20b", b"c=d")
    assert (seen["method"], seen["http_version"]) == ("GET", "1.1")


async def test_one_timer_ends_a_connection_that_is_idle_and_none_that_is_not() -> None:
    config = uvicorn.Config(sends(SIZED, BODY), log_config=None, lifespan="off")
    config.timeout_keep_alive = 0.05  # type: ignore[assignment]  # a fraction of a second will do
    config.load()
    connection = Connection(config=config, server_state=ServerState(), app_state={})
    transport = Written()
    connection.connection_made(transport)
    for _ in range(4):
        connection.data_received(GET)
        await asyncio.sleep(0.02)
    assert not transport.is_closed
    connection.data_received(GET[:9])  # has begun, so it is not idle
    await asyncio.sleep(0.1)
    assert not transport.is_closed
    connection.data_received(GET[9:])
    await asyncio.sleep(0.2)

    assert (len(transport.writes), transport.is_closed) == (5, True)
