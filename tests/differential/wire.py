"""Requests as bytes, so that no client changes them on their way, and what comes back."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

WAIT_S: Final = 30
JSON: Final = ("Content-Type", "application/json")


@dataclass(frozen=True, slots=True)
class Case:
    """One request to one service; the pair of service and name is unique."""

    service: str
    name: str
    request: bytes

    @property
    def method(self) -> str:
        return self.request.partition(b" ")[0].decode()


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; status 0 when the connection was closed without an answer."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    is_cut: bool = False


def request(
    method: str,
    path: str,
    body: bytes | None = None,
    *headers: tuple[str, str],
    version: str = "1.1",
    host: str = "service.example",
) -> bytes:
    """The bytes of a request; its length is told when it has a body."""
    lines = [f"{method} {path} HTTP/{version}", f"Host: {host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def get(path: str, *headers: tuple[str, str]) -> bytes:
    return request("GET", path, None, *headers)


def post(body: bytes, *headers: tuple[str, str], path: str = "/score") -> bytes:
    """A POST with the headers as given: no content type unless one is among them."""
    return request("POST", path, body, *headers)


def post_json(value: object, *headers: tuple[str, str], path: str = "/score") -> bytes:
    return post(json.dumps(value).encode(), JSON, *headers, path=path)


def exchange(url: str, sent: bytes) -> Reply:
    """The answer to these bytes on a connection of their own. Blocking."""
    where = urlsplit(url)
    assert where.hostname
    assert where.port
    address = (where.hostname, where.port)
    with socket.create_connection(address, timeout=WAIT_S) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        return _received(connection, sent.partition(b" ")[0].decode())


def _received(connection: socket.socket, method: str) -> Reply:
    answer = http.client.HTTPResponse(connection, method=method)
    is_cut = False
    try:
        answer.begin()
    except (http.client.HTTPException, ConnectionError):
        return Reply(0)
    try:
        body = answer.read()
    except http.client.IncompleteRead as error:
        body, is_cut = error.partial, True
    finally:
        answer.close()
    return Reply(answer.status, tuple(answer.getheaders()), body, is_cut)
