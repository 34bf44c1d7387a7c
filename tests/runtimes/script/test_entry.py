"""Which kind of script it is, and what its run() takes of a request."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from app.script import entry
from app.script.request import Request

JSON = [("content-type", "application/json")]


def script(run: Any, **names: Any) -> ModuleType:
    """A module with that `run`."""
    module = ModuleType("score")
    module.__dict__.update({"init": lambda: None, "run": run, **names})
    return module


def posted(body: bytes, headers: list[tuple[str, str]] = JSON, method: str = "POST") -> Request:
    return Request(method, "/score", "a=1&b=x&a=[2]", headers, body)


@pytest.fixture
def decorated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run() has a schema."""
    told = ModuleType("inference_schema.schema_util")
    told.__dict__["is_schema_decorated"] = lambda run: True
    monkeypatch.setitem(sys.modules, told.__name__, told)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (lambda: None, "no argument for the input"),
        (lambda request_headers: None, "no argument for the input"),
        (lambda *data: None, r"\*args"),
        (lambda data, **more: None, r"\*\*kwargs"),
        (lambda data, /: None, "positional-only"),
    ],
    ids=["none", "headers only", "args", "kwargs", "positional"],
)
def test_a_run_that_cannot_be_asked_is_refused_with_the_reason(run: Any, why: str) -> None:
    with pytest.raises(entry.Unfit, match=why):
        entry.Entry(script(run))


@pytest.mark.parametrize("name", ["init", "run"])
def test_a_script_without_both_functions_is_refused_by_name(name: str) -> None:
    module = script(lambda data: data)
    delattr(module, name)
    with pytest.raises(entry.Unfit, match=rf"no {name}\(\)"):
        entry.Entry(module)


def test_a_plain_run_takes_the_text_of_the_body_whatever_its_type() -> None:
    found = entry.Entry(script(lambda data: data))

    assert found.kind == "plain"
    assert found.arguments(posted(b"{\xc3\xa9", [("content-type", "a/b")])) == {"data": "{é"}


def test_a_plain_run_takes_the_arguments_of_a_get_as_the_text_of_json() -> None:
    found = entry.Entry(script(lambda anything: anything))

    assert found.arguments(posted(b"", method="GET")) == {
        "anything": json.dumps({"a": [1, [2]], "b": "x"})
    }


def test_headers_are_given_to_a_run_that_asks_for_them() -> None:
    found = entry.Entry(script(lambda data, request_headers: data))
    asked = posted(b"x", [("x-one", "1"), ("x-one", "2"), ("content-type", "a/b")])

    assert found.arguments(asked)["request_headers"] == {"X-One": "1,2", "Content-Type": "a/b"}


@pytest.mark.usefixtures("decorated")
def test_a_run_with_a_schema_takes_its_parameters_from_the_body() -> None:
    found = entry.Entry(script(lambda data, more=7: data))

    assert found.kind == "schema"
    assert found.arguments(posted(b'{"data": [1], "else": 2}')) == {"data": [1], "more": 7}
    assert found.arguments(posted(b'{"data": NaN, "more": null}'))["more"] is None


@pytest.mark.usefixtures("decorated")
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400), (b"{", JSON, 400), (b"[1]", JSON, 400), (b'{"other": 1}', JSON, 400),
        (b'{"data": 1}', [], 415), (b'{"data": 1}', [("content-type", "text/json")], 415),
        (b'{"data": 1}', [("content-type", "image/json")], 415),
    ],
)  # fmt: skip
def test_what_a_run_with_a_schema_cannot_be_asked_with_is_refused(
    body: bytes, headers: list[tuple[str, str]], status: int
) -> None:
    with pytest.raises(entry.Refused) as refused:
        entry.Entry(script(lambda data: data)).arguments(posted(body, headers))
    assert refused.value.status == status


@pytest.mark.parametrize(
    "given", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/geo+json"]
)
@pytest.mark.usefixtures("decorated")
def test_every_spelling_of_json_is_taken(given: str) -> None:
    found = entry.Entry(script(lambda data: data))
    assert found.arguments(posted(b'{"data": 1}', [("content-type", given)])) == {"data": 1}


def test_a_body_that_is_no_text_is_refused() -> None:
    with pytest.raises(entry.Refused, match="UTF-8") as refused:
        entry.Entry(script(lambda data: data)).arguments(posted(b"\xff"))
    assert refused.value.status == 400


def test_only_raw_scripts_take_other_methods() -> None:
    with pytest.raises(entry.Refused) as refused:
        entry.Entry(script(lambda data: data)).arguments(posted(b"", method="PUT"))
    assert refused.value.status == 405


def test_a_raw_run_takes_the_whole_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.script import aml_request

    monkeypatch.setattr(aml_request, "taken", [])
    found = entry.Entry(script(aml_request.rawhttp(lambda request: request)))
    whole = found.arguments(posted(b'{"x": 1}', [*JSON, ("host", "a:81")], "PUT"))["request"]

    assert found.kind == "raw"
    assert (whole.method, whole.full_path) == ("PUT", "/score?a=1&b=x&a=[2]")
    assert (whole.json, whole.get_data()) == ({"x": 1}, b'{"x": 1}')
    assert whole.args.getlist("a") == ["1", "[2]"]
    assert whole.host == "a:81"


@pytest.mark.usefixtures("decorated")
def test_a_run_cannot_be_both_raw_and_with_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.script import aml_request

    monkeypatch.setattr(aml_request, "taken", [])
    with pytest.raises(entry.Unfit, match="both"):
        entry.Entry(script(aml_request.rawhttp(lambda request: request)))


def test_what_a_script_raises_while_it_is_read_is_raised_on(tmp_path: Path) -> None:
    file = tmp_path / "score.py"
    file.write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        entry.load(file)


def test_a_driver_around_the_script_is_what_runs() -> None:
    driver = script(lambda whole: "driven")
    found = entry.Entry(script(lambda data: "inner", driver_module=driver))

    assert found.run(whole="") == "driven"
