"""Statuses, headers and names of /score, over HTTP."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import odd_models
from tests.odd_models import RAISES, WAITS, Gate, Odd
from tests.server import CLAIM, SAMPLES, Server, serving

OK = {"data": "My house is on fire"}
JSON = {"Content-Type": "application/json"}
XML = {"Content-Type": "text/xml"}
TEXT = {"Content-Type": "text/plain"}
ENVELOPE = {"message", "code", "request_id", "errors"}
IDS = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [
        ("POST", f"/score/{CLAIM}", {"data": b"", "headers": JSON}, 400, "bad-request"),
        ("POST", f"/score/{CLAIM}", {"json": [OK]}, 400, "bad-request"),
        ("POST", f"/score/{CLAIM}", {"json": {"x": 1}}, 400, "bad-request"),
        ("POST", f"/score/{CLAIM}", {"json": {**OK, "input_data": "a"}}, 400, "bad-request"),
        ("POST", "/score", {"json": OK}, 400, "model-not-named"),
        ("POST", "/score/unknown", {"json": OK}, 404, "model-not-found"),
        ("POST", f"/score/{CLAIM}/versions/7", {"json": OK}, 404, "model-not-found"),
        ("POST", f"/score/{CLAIM}/x", {"json": OK}, 404, "not-found"),
        ("GET", "/nowhere", {}, 404, "not-found"),
        ("GET", "/livez/", {}, 404, "not-found"),
        ("PUT", f"/score/{CLAIM}", {"json": OK}, 405, "method-not-allowed"),
        ("POST", "/livez", {"json": OK}, 405, "method-not-allowed"),
        (
            "POST",
            f"/score/{CLAIM}",
            {"data": b"x" * 300_000, "headers": JSON},
            413,
            "body-too-large",
        ),
        (
            "POST",
            f"/score/{CLAIM}",
            {"data": b"<a/>", "headers": XML},
            415,
            "unsupported-media-type",
        ),
        (
            "POST",
            f"/score/{CLAIM}",
            {"data": "data=1", "headers": TEXT},
            415,
            "unsupported-media-type",
        ),
        (
            "POST",
            f"/score/{CLAIM}",
            {"json": OK, "headers": {"Content-Encoding": "gzip"}},
            415,
            "unsupported-media-type",
        ),
        ("POST", f"/score/{CLAIM}", {"json": {"data": 7}}, 422, "schema-mismatch"),
        ("POST", f"/score/{CLAIM}", {"json": {**OK, "outputs": ["lable"]}}, 422, "schema-mismatch"),
        (
            "POST",
            f"/score/{CLAIM}",
            {"json": OK, "headers": {"x-request-id": "a" * 101}},
            431,
            "id-too-long",
        ),
        ("POST", "/score/odd", {"json": {"data": [RAISES]}}, 502, "model-failed"),
        (
            "POST",
            "/score/odd",
            {"json": {"data": [WAITS]}, "headers": {"x-request-timeout-ms": "100"}},
            504,
            "deadline-exceeded",
        ),
        (
            "POST",
            f"/score/{CLAIM}",
            {"json": OK, "headers": {"x-request-timeout-ms": "soon"}},
            400,
            "bad-request",
        ),
        (
            "POST",
            f"/score/{CLAIM}",
            {"json": OK, "headers": {"x-request-timeout-ms": "9" * 5000}},
            400,
            "bad-request",
        ),
    ],
)
def test_each_refusal_has_its_status_its_code_and_the_envelope(
    mixed: Server, method: str, path: str, more: dict[str, Any], status: int, code: str
) -> None:
    answer = mixed.session.request(method, mixed.url + path, timeout=60, **more)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (status, code), answer.text
    assert set(told) == ENVELOPE
    assert told["request_id"] == answer.headers.get("x-request-id", "a" * 100)
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The claim model and an odd one, and a small limit on bodies."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / CLAIM).symlink_to(SAMPLES / CLAIM)
    odd_models.save(folder, "odd", Odd())
    gate = Gate(folder / ".gate")
    settings = {"SERVE_MAX_BODY_BYTES": "256Ki", "GATE": str(gate.folder)}
    with serving(SERVE_REGISTRY=str(folder), **settings) as server:
        yield server
        gate.open()


def test_a_request_may_fail_the_model_and_the_next_is_answered(mixed: Server) -> None:
    failed = mixed.post("/score/odd", json={"data": [RAISES]})
    assert failed.headers["x-ms-run-function-failed"] == "True"
    assert mixed.score("odd", [[1.5], [2.5]]) == [1.5, 2.5]
    assert "a secret" in mixed.log()


def test_another_status_can_be_had_for_a_failed_model(tmp_path: Path) -> None:
    odd_models.save(tmp_path / "r", "odd", Odd())
    settings = {"SERVE_REGISTRY": str(tmp_path / "r"), "SERVE_MODEL_FAILURE_STATUS": "500"}
    with serving(**settings) as server:
        answer = server.post("/score", json={"data": [RAISES]})
        assert (answer.status_code, answer.json()["code"]) == (500, "model-failed")


def test_a_method_that_is_not_taken_is_told_which_are(samples: Server) -> None:
    methods = {"/score": {"GET", "HEAD", "POST", "OPTIONS"}, "/livez": {"GET", "HEAD"}}
    for path, allowed in methods.items():
        answer = samples.session.delete(samples.url + path, timeout=60)
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == allowed


def test_options_tells_the_methods_of_score(samples: Server) -> None:
    answer = samples.session.options(f"{samples.url}/score/{CLAIM}", timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")
    assert "POST" in answer.headers["allow"]


def test_a_near_name_is_offered_for_an_unknown_one(samples: Server) -> None:
    assert "did you mean churn?" in samples.post("/score/chrn", json=OK).json()["message"]
    version = samples.post("/score/churn?model_version=9", json=OK).json()["message"]
    assert "churn:1" in version


def test_the_names_are_told_when_none_of_several_is_named(samples: Server) -> None:
    told = samples.post("/score", json=OK).json()["message"]
    assert "churn" in told
    assert CLAIM in told


def test_get_tells_how_to_call_and_what_is_served(samples: Server) -> None:
    told = samples.get("/score").json()
    assert "POST" in told["message"]
    assert told["models"] == ["churn", CLAIM]


@pytest.mark.parametrize(
    ("path", "headers", "body", "version"),
    [
        ("/score/churn", {}, {}, "2"),
        ("/score/churn/versions/1", {}, {}, "1"),
        ("/score/churn/", {}, {}, "2"),
        ("/score?model_name=churn", {}, {}, "2"),
        ("/score?model_name=churn&model_version=1", {}, {}, "1"),
        ("/score/churn?model_name=other&model_version=1", {}, {}, "1"),
        ("/score/churn", {"azureml-model-deployment": "1"}, {}, "1"),
        ("/score", {}, {"model_name": "churn"}, "2"),
        ("/score", {}, {"model_name": "churn", "model_version": 1}, "1"),
        ("/score?model_name=churn", {}, {"model_name": "other"}, "2"),
    ],
)
def test_a_model_is_named_by_path_query_header_or_body(
    samples: Server, path: str, headers: dict[str, str], body: dict[str, Any], version: str
) -> None:
    answer = samples.post(path, json={"data": [], **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-model-name"] == "churn"
    assert answer.headers["x-model-version"] == version


@pytest.mark.parametrize("name", [7, True, ["churn"]])
def test_a_name_in_the_body_must_be_a_text(samples: Server, name: object) -> None:
    assert samples.post("/score", json={"data": [], "model_name": name}).status_code == 400


@pytest.mark.parametrize("version", [True, 1.5, [1]])
def test_a_version_in_the_body_must_be_a_text_or_a_number(samples: Server, version: object) -> None:
    body = {"data": [], "model_name": "churn", "model_version": version}
    assert samples.post("/score", json=body).status_code == 400


def test_the_default_model_answers_requests_that_name_none() -> None:
    with serving(SERVE_DEFAULT_MODEL=CLAIM, SERVE_MODELS=f"churn,{CLAIM}") as server:
        assert server.post("/score", json=OK).json() == {"results": 0}


@pytest.mark.parametrize(
    "path",
    [
        "/score/%2e%2e",
        "/score/..%2f..%2fetc",
        "/score/a%2Fb",
        "/score/%00",
        "/score/%ff",
        "/score/" + "a" * 10_000,
        "/score/churn/versions/%2e%2e",
        "/score/churn/versions/" + "1" * 10_000,
        "/score?model_name=../../etc/passwd",
        "/score?model_name=a/b",
        "/score?model_name=" + "a" * 10_000,
        "/score?model_name=churn&model_version=..",
    ],
)
def test_a_name_that_no_model_can_have_is_not_found(samples: Server, path: str) -> None:
    answer = samples.post(path, json=OK)
    assert answer.status_code == 404, answer.text
    assert len(answer.text) < 1000
    assert str(SAMPLES) not in answer.text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None, None), ("new", "new", None)),
        (("A", None, None), ("A", "A", None)),
        (("A", "B", None), ("A", "B", "B")),
        ((None, "B", None), ("new", "B", "B")),
        (("A", None, "C"), ("A", "C", "C")),
        ((None, None, "C"), ("new", "C", "C")),
        (("A", "B", "C"), ("A", "B", "C")),
        ((None, "B", "C"), ("new", "B", "C")),
    ],
)
@pytest.mark.parametrize("body", [OK, {"data": 7}])
def test_ids_come_back_as_the_table_says(
    samples: Server, given: tuple[str | None, ...], expected: tuple[str | None, ...], body: Any
) -> None:
    sent = {name: value for name, value in zip(IDS, given, strict=True) if value}
    got = samples.post(f"/score/{CLAIM}", json=body, headers=sent).headers
    new = got["x-request-id"]
    assert tuple(got.get(name) for name in IDS) == tuple(new if e == "new" else e for e in expected)
    if expected[0] == "new":
        assert uuid.UUID(new).version == 4


def test_an_answer_tells_how_long_the_model_ran(samples: Server) -> None:
    headers = samples.post(f"/score/{CLAIM}", json=OK).headers
    assert headers["x-ms-run-function-failed"] == "False"
    assert len(headers["x-ms-run-fn-exec-ms"].partition(".")[2]) == 3
    assert headers["content-type"] == "application/json"
    assert "server-timing" not in headers


def test_the_phases_are_told_to_who_asks(samples: Server) -> None:
    answer = samples.post(f"/score/{CLAIM}", json=OK, headers={"x-server-timing": "1"})
    phases = [part.partition(";dur=")[0] for part in answer.headers["server-timing"].split(", ")]
    assert {"admit", "decode", "queue", "predict"} <= set(phases)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "APPLICATION/JSON",
    ],
)
def test_json_is_taken_under_the_names_that_clients_give_it(
    samples: Server, content_type: str
) -> None:
    command = ["curl", "-sS", f"{samples.url}/score/{CLAIM}", "--data", '{"data": "fire"}']
    done = subprocess.run(
        [*command, "-H", f"Content-Type:{content_type and ' ' + content_type}"],
        capture_output=True,
        timeout=30,
    )
    assert (done.stdout, done.stderr) == (b'{"results":0}', b"")
