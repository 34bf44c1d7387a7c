"""AML_CORS_ORIGINS beside scoring: whose pages may read answers, refusals and documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.protocols.cors import Cors
from app.settings import Settings
from tests.scripts import write_script
from tests.server import serving
from tests.serving import write_model

ONE, TWO, OTHER = "https://one.example", "https://two.example", "https://other.example"
KEY = {"x-api-key": "one"}
ALLOWED = "access-control-allow-origin"
SCRIPT = """
from azureml_inference_server_http.api.aml_response import AMLResponse
def run(data):
    own = {"Access-Control-Allow-Origin": "https://own.example", "Vary": "Accept"}
    return AMLResponse("x", 200, own)
"""
SCORING: list[tuple[str, str, Any, int]] = [
    ("POST", "/score", {"data": [[2]]}, 200),
    ("POST", "/score/double", {"data": [[2]]}, 200),
    ("POST", "/score/double/versions/1", {"data": [[2]]}, 200),
    ("GET", "/score", None, 200),
    ("GET", "/swagger.json", None, 200),
    ("GET", "/score/double/swagger.json", None, 200),
    ("POST", "/score", {}, 400),
    ("POST", "/score", {"data": "x"}, 422),
    ("POST", "/score/nothing", {"data": [[2]]}, 404),
    ("GET", "/score/a/b/c", None, 404),
    ("PUT", "/score", None, 405),
    ("GET", "/swagger.json?version=9", None, 404),
]
ELSEWHERE = [
    "/",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/admin/models/double/load",
    "/x",
]


def served(folder: Path, origins: str) -> TestClient:
    given = {"SERVE_REGISTRY": str(folder / "registry"), "SERVE_CACHE_DIR": str(folder / "cache")}
    models = {"SERVE_MODELS": "double,script", "SERVE_DEFAULT_MODEL": "double"}
    write_model(folder / "registry", "double")
    write_script(folder / "registry", "script", SCRIPT)
    application: Any = create_app(
        Settings.load({**given, **models, "SERVE_API_KEYS": "one", "AML_CORS_ORIGINS": origins})
    )
    return TestClient(application)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with served(tmp_path_factory.mktemp("cors"), f"{ONE}, {TWO}") as client:
        yield client


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with served(tmp_path_factory.mktemp("closed"), "") as client:
        yield client


def of_cors(headers: Any) -> dict[str, str]:
    return {n: v for n, v in headers.items() if n.startswith("access-control-") or n == "vary"}


@pytest.mark.parametrize(("method", "path", "body", "status"), SCORING)
def test_answers_and_refusals_may_be_read_by_pages_of_the_origins(
    client: TestClient, method: str, path: str, body: Any, status: int
) -> None:
    for origin in (ONE, TWO):
        answer = client.request(method, path, json=body, headers={**KEY, "Origin": origin})
        assert answer.status_code == status
        assert of_cors(answer.headers) == {ALLOWED: origin, "vary": "Origin"}


@pytest.mark.parametrize(("method", "path", "body", "_"), SCORING)
def test_pages_of_others_read_nothing(
    client: TestClient, method: str, path: str, body: Any, _: int
) -> None:
    answer = client.request(method, path, json=body, headers={**KEY, "Origin": OTHER})

    assert of_cors(answer.headers) == {}


def test_that_a_credential_is_lacking_may_be_read_too(client: TestClient) -> None:
    for path in ("/score/double", "/swagger.json"):
        answer = client.get(path, headers={"Origin": ONE})
        assert (answer.status_code, answer.headers[ALLOWED]) == (401, ONE)


@pytest.mark.parametrize("path", ["/score", "/score/double", "/swagger.json"])
def test_a_preflight_is_answered_without_a_credential(client: TestClient, path: str) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authorization",
    }
    answer = client.options(path, headers={"Origin": ONE, **asked})
    refused = client.options(path, headers={"Origin": OTHER, **asked})

    assert (answer.status_code, answer.text) == (200, "")
    assert of_cors(answer.headers) == {
        ALLOWED: ONE,
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization, content-type",
        "vary": "Origin",
    }
    assert (refused.status_code, of_cors(refused.headers)) == (200, {})


@pytest.mark.parametrize("path", ELSEWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_other_routes_have_no_such_headers(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, headers={**KEY, "Origin": ONE})

    assert of_cors(answer.headers) == {}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"), [*SCORING, ("OPTIONS", "/score", None, 200)]
)
def test_without_the_setting_no_such_header_is_sent(
    closed: TestClient, method: str, path: str, body: Any, status: int
) -> None:
    headers = {**KEY, "Origin": ONE, "Access-Control-Request-Method": "POST"}
    answer = closed.request(method, path, json=body, headers=headers)

    assert (answer.status_code, of_cors(answer.headers)) == (status, {})


def test_what_a_script_says_of_origins_gives_way_to_the_setting(
    client: TestClient, closed: TestClient
) -> None:
    def told(asked: TestClient, origin: str) -> tuple[list[str], list[str]]:
        answer = asked.post("/score/script", content="", headers={**KEY, "Origin": origin})
        assert answer.status_code == 200, answer.text
        return answer.headers.get_list(ALLOWED), answer.headers.get_list("vary")

    assert told(client, ONE) == ([ONE], ["Accept", "Origin"])
    assert told(client, OTHER) == (["https://own.example"], ["Accept"])
    assert told(closed, ONE) == (["https://own.example"], ["Accept"])


def test_any_origin_may_be_named_and_patterns() -> None:
    asked = {b"origin": ONE.encode()}

    assert Cors(["*"]).added([], "POST", asked) == [
        (ALLOWED.encode(), ONE.encode()),
        (b"vary", b"Origin"),
    ]
    assert Cors([r"https://.*\.example$"]).headers("POST", asked)[0][1] == ONE.encode()
    assert Cors([]).added([(b"a", b"b")], "POST", asked) == [(b"a", b"b")]


def test_a_real_server_sends_each_header_once() -> None:
    with serving(SERVE_MODELS="churn", SERVE_API_KEYS="one", AML_CORS_ORIGINS="*") as server:
        refused = server.exchange(
            b"POST /score HTTP/1.1\r\nhost: a\r\norigin: https://one.example\r\n"
            b"content-length: 0\r\nconnection: close\r\n\r\n"
        )
        assert refused.startswith(b"HTTP/1.1 401 ")
        assert refused.count(b"access-control-allow-origin: https://one.example\r\n") == 1
        assert ALLOWED not in server.get("/livez", headers={"Origin": ONE}).headers
