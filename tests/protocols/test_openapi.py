"""/openapi.json: valid, with every served model and an example that scores; and a fuzzer on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.server import CLAIM, CUSTOMERS, Server, serving

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method"
)
_SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))


@pytest.fixture(scope="module")
def document(samples: Server) -> dict[str, Any]:
    told: dict[str, Any] = samples.get("/openapi.json").json()
    return told


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    schemathesis = pytest.importorskip("schemathesis.specs.openapi.definitions")
    assert document["openapi"].startswith("3.1")
    assert not list(jsonschema_rs.iter_errors(schemathesis.OPENAPI_31, document))


def test_every_schema_in_the_document_is_json_schema(document: dict[str, Any]) -> None:
    schemas = list(_found(document, "schema")) + list(document["components"]["schemas"].values())
    assert len(schemas) > 20
    for schema in schemas:
        text = str(schema)
        for reference in re.findall(r"'\$ref': '([^']*)'", text):
            assert reference.startswith("#/components/schemas/")
            assert reference.rpartition("/")[2] in document["components"]["schemas"]
        assert jsonschema_rs.meta.is_valid(schema), schema


def test_each_served_model_shows_its_columns(document: dict[str, Any]) -> None:
    body = _body(document, "/score/churn")
    record = body["schema"]["properties"]["data"]["anyOf"][0]
    assert list(record["properties"]) == list(CUSTOMERS[0])
    assert record["properties"]["region"]["enum"] == ["north", "east", "south", "west"]
    assert "/score/churn/versions/2" in document["paths"]


@pytest.mark.parametrize("path", ["/score/churn", f"/score/{CLAIM}", f"/score/{CLAIM}/versions/1"])
def test_the_example_of_a_model_really_scores(
    samples: Server, document: dict[str, Any], path: str
) -> None:
    body = _body(document, path)
    answer = samples.post(path, json=body["example"])
    assert answer.status_code == 200, answer.text
    assert jsonschema_rs.is_valid(body["schema"], body["example"])


def test_the_document_follows_what_is_served(tmp_path: Path) -> None:
    with serving(SERVE_MODELS=CLAIM) as server:
        before = server.get("/openapi.json").json()["paths"]
        server.score("churn", CUSTOMERS)
        after = server.get("/openapi.json").json()["paths"]
    assert "/score/churn/versions/2" not in before
    assert "/score/churn/versions/2" in after


def test_without_a_key_the_document_names_no_model() -> None:
    with serving(SERVE_API_KEYS="one,two") as server:
        hidden = server.get("/openapi.json")
        shown = server.get("/openapi.json", headers={"x-api-key": "two"})
    assert hidden.status_code == 200
    assert "churn" not in hidden.text
    assert CLAIM not in hidden.text
    assert "/score" in hidden.json()["paths"]
    assert set(hidden.json()["components"]["securitySchemes"]) == {"bearer", "key"}
    assert "/score/churn" in shown.json()["paths"]


@pytest.mark.parametrize(
    "count",
    [
        500,
        pytest.param(5_000, marks=pytest.mark.long),
        pytest.param(10_000, marks=pytest.mark.full),
    ],
)
def test_a_fuzzer_finds_no_bug_and_no_status_that_is_not_documented(
    tmp_path: Path, samples: Server, count: int
) -> None:
    document = samples.get("/openapi.json").json()
    each = -(-count // sum("post" in item for item in document["paths"].values()))
    done = subprocess.run(
        [_SCHEMATHESIS, "run", f"{samples.url}/openapi.json", "--checks", CHECKS, "--no-color",
         "--phases", "examples,coverage,fuzzing", "--mode", "all", "--seed", "1",
         "--max-examples", str(each), "--generation-database", "none"],
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    assert int(re.findall(r"(\d+) generated", done.stdout.replace(",", ""))[-1]) >= count
    assert '"status":500' not in samples.log()


def _body(document: dict[str, Any], path: str) -> dict[str, Any]:
    content: dict[str, Any] = document["paths"][path]["post"]["requestBody"]["content"]
    body: dict[str, Any] = content["application/json"]
    return body


def _found(node: object, key: str) -> Iterator[Any]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from _found(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _found(value, key)
