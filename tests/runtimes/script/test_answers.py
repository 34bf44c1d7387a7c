"""What comes of what run() gives, and the names that scripts import."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from app.script import names
from app.script.aml_response import AMLResponse
from app.script.answer import Answer, Answers
from app.script.entry import Entry
from app.script.request import Request
from tests.runtimes.script.test_entry import script

RUN_FAILED = "x-ms-run-function-failed"


def answered(run: Any, method: str = "POST") -> Answer:
    """What comes of one request with the body `body`."""
    return Answers(Entry(script(run))).of(Request(method, "/score", "", [], b"body"), 60)


@pytest.fixture(autouse=True)
def _loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Those of scripts end with their processes, of which there are none here."""
    made: list[asyncio.AbstractEventLoop] = []
    begin = asyncio.new_event_loop

    def new() -> asyncio.AbstractEventLoop:
        made.append(begin())
        return made[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", new)
    yield
    for loop in made:
        loop.close()
    asyncio.set_event_loop(None)


@pytest.mark.parametrize(
    ("given", "body"),
    [
        (None, b"{}"), ("text", b'"text"'), ('{"a": 1}', b'"{\\"a\\": 1}"'), ([1, 2], b"[1, 2]"),
        ({"a": float("nan")}, b'{"a": NaN}'), ("\xe9", b'"\\u00e9"'), (0, b"0"), ("", b'""'),
    ],
)  # fmt: skip
def test_a_value_is_dumped_as_json_does_by_default(given: Any, body: bytes) -> None:
    answer = answered(lambda data: given)

    assert (answer.status, answer.body) == (200, body)
    assert dict(answer.headers) == {"content-type": "application/json", RUN_FAILED: "False"}


@pytest.mark.parametrize(
    "raised", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]
)
def test_whatever_run_raises_is_a_failed_answer_with_a_traceback_for_the_log(
    raised: BaseException,
) -> None:
    def run(data: str) -> None:
        raise raised

    answer = answered(run)

    assert answer.failure == "raised"
    assert type(raised).__name__ in answer.error


@pytest.mark.parametrize("given", [{1}, b"bytes", object(), {(1, 2): 3}])
def test_what_json_does_not_know_is_a_failed_answer(given: Any) -> None:
    assert answered(lambda data: given).failure == "unwritable"


def test_a_run_that_is_awaited_answers_and_keeps_its_loop() -> None:
    loops = []

    async def run(data: str) -> str:
        loops.append(asyncio.get_running_loop())
        return data

    answers = Answers(Entry(script(run)))
    requests = [Request("POST", "/score", "", [], b"%d" % k) for k in range(2)]
    bodies = [answers.of(request, 60).body for request in requests]

    assert bodies == [b'"0"', b'"1"']
    assert loops[0] is loops[1]


def test_an_answer_of_the_script_s_own_is_passed_on() -> None:
    answer = answered(lambda data: AMLResponse({"a": 1}, 201, {"x-one": "a, b"}, json_str=True))

    assert (answer.status, answer.body) == (201, b'{"a": 1}')
    assert [value for name, value in answer.headers if name == "x-one"] == ["a", "b"]
    assert "Content-Length" not in dict(answer.headers)


def test_an_answer_of_five_hundred_and_more_is_told_as_failed() -> None:
    headers = dict(answered(lambda data: AMLResponse("no", 503)).headers)

    assert headers[RUN_FAILED] == "True"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_is_streamed(is_async: bool) -> None:
    def some() -> Iterator[Any]:
        yield "a"
        yield b"b"

    async def later() -> AsyncIterator[Any]:
        for each in some():
            yield each

    answer = answered(lambda data: AMLResponse(later() if is_async else some(), 200))

    assert answer.chunks is not None
    assert answer.head()["is_streamed"]
    assert list(answer.chunks) == [b"a", b"b"]


def test_options_are_answered_without_the_script() -> None:
    answer = answered(lambda data: 1 / 0, "OPTIONS")

    assert (answer.status, answer.body, answer.run_ms) == (200, b"", None)


@pytest.mark.parametrize("name", sorted(names.LEAVES))
def test_the_names_of_older_packages_can_be_imported_and_are_one(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for known in [each for each in sys.modules if each.startswith(("azureml", "azureml_inf"))]:
        monkeypatch.delitem(sys.modules, known)
    names.provide()
    module = importlib.import_module(name)
    for known in [each for each in sys.modules if each.startswith(("azureml", "azureml_inf"))]:
        monkeypatch.delitem(sys.modules, known)

    word = "AMLResponse" if name.endswith("response") else "rawhttp"
    ours = importlib.import_module(f"app.script.{name.rpartition('.')[2]}")
    assert getattr(module, word) is getattr(ours, word)
