"""/swagger.json of models of every kind: valid, true, and where clients look for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from app.errors import ModelLoading
from app.main import create_app
from app.protocols.score.definitions import OfSignature
from app.protocols.score.documents import Documents
from app.protocols.score.swagger import Service, Swagger
from app.schema import Schema
from app.schema.declared import declare
from app.schema.results import results
from app.settings import Settings
from app.telemetry import Trace
from app.tensors import Signature, TensorSpec
from tests.models import CONTRACT_MODELS, load
from tests.protocols.documents import VERSIONS, check, fits
from tests.scripts import SCHEMA, write_script
from tests.server import CUSTOMERS, Server
from tests.server import serving as serving_process
from tests.serving import GIVE_UP_S, Serving, serving, write_model

ROWS = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}, "example": [[2]]}
OLDER = {"input": {"input_df": {"type": 1, "swagger": ROWS, "internal": ""}}}
SCRIPT = f"{SCHEMA}\n@input_schema('text')\ndef run(text): return text"
KINDS = ("double", "older", "plain", "declared")
"""Models of the registry below that tell what they take, each in its own way."""


def fill(folder: Path) -> None:
    write_model(folder, "double", "1")
    write_model(folder, "double", "2")
    write_model(folder, "older", service_schema=json.dumps(OLDER))
    write_model(folder, "swagger.json")
    column = {"type": "number", "minimum": 0}
    refers = {"properties": {"x": {"$ref": "#/$defs/Size"}}, "$defs": {"Size": column}}
    write_model(folder, "refers", schema=json.dumps(refers))
    own = write_model(folder, "overridden")
    (own / "swagger.json").write_text('{"swagger": "mine"}')
    (own / "swagger3.json").write_text('{"openapi": "mine"}')
    write_model(folder, "broken", swagger="{")
    write_script(folder, "plain", "def run(data): return data")
    write_script(folder, "declared", SCRIPT)


def application(folder: Path, **more: str) -> Any:
    given = {"SERVE_REGISTRY": str(folder / "registry"), "SERVE_CACHE_DIR": str(folder / "cache")}
    return create_app(Settings.load({**given, **more}))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("swagger")
    fill(folder / "registry")
    names = "double:1,double,refers,swagger.json,overridden,broken,plain,declared"  # not `older`
    with TestClient(
        application(folder, SERVE_DEFAULT_MODEL="double", SERVE_MODELS=names)
    ) as client:
        yield client


def wait_until_ready(client: TestClient) -> None:
    until = time.monotonic() + GIVE_UP_S
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.02)


# What it says


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("what", CONTRACT_MODELS)
def test_of_every_native_model_it_is_valid_and_its_example_is_answered_as_it_says(
    model_folders: Mapping[str, Path], what: str, version: str
) -> None:
    model = load(model_folders[what])
    document = json.loads(Swagger(Service(), OfSignature(model.signature)).text(version))
    schemas = check(document, version)
    call = Schema(model.signature).call(schemas["ServiceInput"]["example"])
    names = model.signature.canonical((model.signature.result,))
    told = results(model.predict(call.batch, names), call, model.signature)
    answer = orjson.loads(orjson.dumps({"results": told}, option=orjson.OPT_SERIALIZE_NUMPY))

    assert call.batch.rows == 1
    if version == "3.1":
        assert fits(schemas, "ServiceInput", schemas["ServiceInput"]["example"])
        assert fits(schemas, "ServiceOutput", answer)
        assert not fits(schemas, "ServiceOutput", {"result": 1})


DECLARED = {
    "type": "object",
    "properties": {
        "city": {"$ref": "#/$defs/City"},
        "age": {"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string", "const": "a"}},
    },
    "required": ["city"],
    "if": {"properties": {"city": {"const": "Bern"}}},
    "then": {"required": ["age"]},
    "examples": [{"city": "Rome", "age": 7, "tags": []}],
    "$defs": {"City": {"type": "string", "enum": ["Bern", "Rome"]}},
    "$schema": "https://json-schema.org/draft/2020-12/schema",
}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_declared_schema_is_told_with_its_examples_and_what_it_refers_to(version: str) -> None:
    taken = Signature((), (TensorSpec("y", "float32", (None,)),), result="y")
    swagger = Swagger(Service(), OfSignature(declare(taken, DECLARED)))
    schemas = check(json.loads(swagger.text(version)), version)

    assert schemas["ServiceInput"]["example"] == {"data": DECLARED["examples"]}
    assert schemas["ServiceInput.City"]["enum"] == ["Bern", "Rome"]
    assert schemas["ErrorResponse"]["required"] == ["message", "code", "request_id", "errors"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KINDS)
def test_of_every_kind_of_model_a_valid_document_is_served(
    client: TestClient, name: str, version: str
) -> None:
    answer = client.get(f"/score/{name}/swagger.json?version={version}")
    schemas = check(answer.json(), version)

    assert answer.headers["content-type"] == "application/json"
    assert {"ServiceInput", "ServiceOutput", "ErrorResponse"} <= schemas.keys()
    assert answer.json()["info"]["title"] == answer.headers["x-model-name"] == name


def test_openapi_json_tells_of_it_and_follows_references_of_a_declared_schema(
    client: TestClient,
) -> None:
    assert client.post("/score/refers", json={"data": [{"x": 2}]}).json() == {"results": [[4.0]]}
    document = client.get("/openapi.json").json()
    schemas = check(document, "3.1")

    assert schemas["refers.1.Size"] == {"type": "number", "minimum": 0}
    assert document["paths"]["/swagger.json"].keys() == {"get"}
    assert document["paths"]["/score/refers/swagger.json"]["x-model"] == "refers:1"


def test_the_input_goes_by_the_name_that_requests_may_use(client: TestClient) -> None:
    told = client.get("/score/older/swagger.json").json()["definitions"]["ServiceInput"]

    assert (told["required"], told["example"]) == (["input_df"], {"input_df": [[2]]})
    assert client.post("/score/older", json=told["example"]).json() == {"results": [[4.0]]}


def test_of_a_script_it_is_what_the_server_for_one_script_tells(
    client: TestClient, tmp_path: Path
) -> None:
    folder = write_script(tmp_path, "declared", SCRIPT)
    given = {"AML_APP_ROOT": str(folder), "AZUREML_ENTRY_SCRIPT": "score.py"}
    with TestClient(application(tmp_path, **given, SERVICE_NAME="s")) as other:
        wait_until_ready(other)
        for version in VERSIONS:
            asked = f"swagger.json?version={version}"
            alone = other.get(f"/{asked}").json()
            beside = client.get(f"/{asked}&model_name=declared").json()
            paths = alone.pop("paths"), beside.pop("paths")
            assert alone.pop("info")["title"] == "s"
            assert beside.pop("info")["title"] == "declared"
            assert (alone, [*paths[0].values()]) == (beside, [*paths[1].values()])


# Where it is


@pytest.mark.parametrize(
    ("asked", "version", "score"),
    [
        ("/swagger.json", "2", "/score"),
        ("/score/double/swagger.json", "2", "/score/double"),
        ("/score/double/versions/1/swagger.json", "1", "/score/double/versions/1"),
        ("/swagger.json?model_name=double", "2", "/score/double"),
        ("/score/swagger.json/swagger.json", "1", "/score/swagger.json"),
    ],
)
def test_it_tells_the_paths_of_the_model_that_was_asked(
    client: TestClient, asked: str, version: str, score: str
) -> None:
    answer = client.get(asked)
    document = asked.partition("?")[0] if "?" not in asked else f"{score}/swagger.json"

    assert answer.headers["x-model-version"] == answer.json()["info"]["version"] == version
    assert list(answer.json()["paths"]) == ["/", score, document]
    for path, route in answer.json()["paths"].items():
        method = "POST" if "post" in route else "GET"
        assert client.request(method, path, json={"data": [[2]]}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "key", "told"),
    [
        ("", "swagger", "2.0"),
        ("?version=2", "swagger", "2.0"),
        ("?version=2.0", "swagger", "2.0"),
        ("?version=3", "openapi", "3.0.3"),
        ("?version=3.0", "openapi", "3.0.3"),
        ("?version=3.1", "openapi", "3.1.0"),
    ],
)
def test_the_version_that_is_asked_for_is_told(
    client: TestClient, asked: str, key: str, told: str
) -> None:
    assert client.get(f"/swagger.json{asked}").json()[key] == told


@pytest.mark.parametrize("asked", ["?version=4", "?version=", "?version=two"])
def test_another_version_is_404_with_those_that_there_are(client: TestClient, asked: str) -> None:
    answer = client.get(f"/score/double/swagger.json{asked}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert "Supported versions: [2, 3, 3.1]" in answer.json()["message"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("/score/nothing/swagger.json", "model-not-found"),
        ("/score/double/versions/9/swagger.json", "model-not-found"),
        ("/score/a/b/swagger.json", "not-found"),
        ("/swagger.json/", "not-found"),
    ],
)
def test_what_is_not_there_is_404(client: TestClient, asked: str, code: str) -> None:
    answer = client.get(asked)

    assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_model_may_be_called_swagger_json(client: TestClient) -> None:
    assert client.post("/score/swagger.json", json={"data": [[2]]}).json() == {"results": [[4.0]]}
    assert "models" in client.get("/score/swagger.json").json()


@pytest.mark.parametrize("path", ["/swagger.json", "/score/double/swagger.json"])
def test_it_is_only_read(client: TestClient, path: str) -> None:
    allowed = "GET, HEAD, OPTIONS"
    preflight, posted = client.options(path), client.post(path, json={"data": [[2]]})

    assert (preflight.status_code, preflight.headers["allow"]) == (200, allowed)
    assert (posted.status_code, posted.headers["allow"]) == (405, allowed)
    assert client.head(path).status_code == 200


def test_documents_in_the_model_folder_take_the_place_of_ours(client: TestClient) -> None:
    def told(version: str) -> Any:
        return client.get(f"/score/overridden/swagger.json?version={version}").json()

    assert (told("2"), told("3")) == ({"swagger": "mine"}, {"openapi": "mine"})
    assert told("3.1")["info"]["title"] == "overridden"


def test_a_broken_document_in_the_model_folder_is_told(client: TestClient) -> None:
    answer = client.get("/score/broken/swagger.json")

    assert answer.status_code == 503
    assert answer.json()["message"] == "in the model folder swagger.json is not JSON"


def test_of_several_models_without_a_default_the_address_of_each_is_told(samples: Server) -> None:
    answer = samples.get("/swagger.json")

    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert "as in /score/NAME/swagger.json; served are: churn, " in answer.json()["message"]


def test_over_http_the_example_of_the_samples_scores(samples: Server) -> None:
    schemas = check(samples.get("/score/churn/swagger.json?version=3.1").json(), "3.1")
    answer = samples.post("/score/churn", json=schemas["ServiceInput"]["example"])

    assert fits(schemas, "ServiceInput", {"data": CUSTOMERS})
    assert fits(schemas, "ServiceInput", {"data": CUSTOMERS[0]})
    assert not fits(schemas, "ServiceInput", {"data": [{**CUSTOMERS[0], "region": "moon"}]})
    assert fits(schemas, "ServiceOutput", answer.json())
    assert fits(schemas, "ErrorResponse", samples.post("/score/churn", json={"data": 1}).json())


def test_with_keys_nobody_else_reads_it() -> None:
    with serving_process(SERVE_MODELS="churn", SERVE_API_KEYS="one") as server:
        for path in ("/swagger.json", "/score/churn/swagger.json"):
            refused = server.get(path)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
            assert "churn" not in refused.text
            assert server.get(path, headers={"x-api-key": "one"}).json()["swagger"] == "2.0"
        server.wait_until(lambda: "GET /score/{model}/swagger.json" in server.log())


async def test_a_model_that_loads_for_too_long_is_told_as_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, monkeypatch) as parts:
        await _load_too_long(parts)


async def _load_too_long(parts: Serving) -> None:
    write_model(parts.folder, "double")
    catalog = parts.catalog()
    parts.registry.gate.clear()
    with pytest.raises(ModelLoading):
        await Documents(catalog, timeout_s=0.02).reply("double", None, b"", Trace("GET"))
    parts.registry.gate.set()
    reply = await Documents(catalog, timeout_s=30).reply("double", None, b"", Trace("GET"))
    assert reply.status == 200
    await catalog.close()
