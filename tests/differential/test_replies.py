"""What counts as a difference between two replies."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.differential.replies import ACCEPTED, differences, normalised
from tests.differential.wire import Reply, exchange, request
from tests.server import ROOT

_ID = "3f0c8c5e-6a0b-4c7e-9d0e-2f6a1b7c8d9e"
_OTHER = "9b2f1a70-1c3d-4e5f-8a6b-7c8d9e0f1a2b"


def _reply(body: bytes = b"{}", status: int = 200, **headers: str) -> Reply:
    told = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status, told, body)


def _differences(first: Reply, second: Reply) -> list[str]:
    return differences(normalised(first), normalised(second))


@pytest.mark.parametrize(
    "other",
    [
        _reply(b"{ }", x_a="1"),
        _reply(status=201, x_a="1"),
        _reply(x_a="2"),
        _reply(),
        _reply(x_a="1", x_b="1"),
        _reply(x_a="1", content_length="5"),
        Reply(0),
        Reply(200, (("x-a", "1"),), b"{}", is_cut=True),
        Reply(200, (("x-a", "1"), ("x-a", "1")), b"{}"),
    ],
)
def test_a_byte_a_status_or_a_header_is_a_difference(other: Reply) -> None:
    assert len(_differences(_reply(x_a="1"), other)) >= 1


def test_dates_framing_and_the_case_of_names_are_none() -> None:
    first = _reply(Date="today", Server="a", X_A="1", Content_Length="2")
    second = _reply(x_a="1", transfer_encoding="chunked", date="later", connection="close")

    assert _differences(first, second) == []


def test_generated_ids_differ_only_in_which_are_the_same() -> None:
    first = _reply(x_request_id=_ID, x_ms_request_id=_ID)

    assert _differences(first, _reply(x_request_id=_OTHER, x_ms_request_id=_OTHER)) == []
    assert len(_differences(first, _reply(x_request_id=_OTHER, x_ms_request_id=_ID))) == 1
    assert len(_differences(first, _reply(x_request_id="A", x_ms_request_id="A"))) == 2


def test_a_time_is_compared_by_its_form() -> None:
    first = _reply(x_ms_run_fn_exec_ms="1.500")

    assert _differences(first, _reply(x_ms_run_fn_exec_ms="12.043")) == []
    assert len(_differences(first, _reply(x_ms_run_fn_exec_ms="1.5"))) == 1


def test_a_request_leaves_byte_for_byte_and_a_closed_connection_is_a_reply() -> None:
    sent = request("POST", "//a?b", b"\xff", ("X-Odd", "ü"))
    heard = b""

    def hear(listener: socket.socket) -> None:
        nonlocal heard
        connection, _ = listener.accept()
        with connection:
            heard = connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hear, args=(listener,))
        thread.start()
        reply = exchange(f"http://127.0.0.1:{listener.getsockname()[1]}", sent)
        thread.join()
    assert (heard, reply) == (sent, Reply(0))


def test_the_docs_tell_each_difference_that_is_accepted() -> None:
    told = (ROOT / "docs/protocols.md").read_text("utf-8")

    assert [reason for reason in ACCEPTED.values() if reason not in told] == []
