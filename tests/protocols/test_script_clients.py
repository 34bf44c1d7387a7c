"""Clients of older services, and what they send to scoring scripts."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from azure.ai.ml.constants._endpoint import EndpointInvokeFields

from tests.server import CUSTOMERS, SAMPLES, Server, serving

KEY = "a-key"
BEARER = {"Authorization": f"Bearer {KEY}"}
JSON = {"Content-Type": "application/json"}
DOG = base64.b64encode((SAMPLES / "dog_breeds/1/dog.jpg").read_bytes()).decode()
CLAIM_TEXT = {"data": "On 2024-03-14 a car hit mine: 1,250 dollars"}
FOUND = {"results": {"dates": ["2024-03-14"], "amounts": [1250.0], "plates": []}}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The samples with scripts, behind a key."""
    names = "dog_breeds,churn_script,claim_fields"
    with serving(SERVE_MODELS=names, SERVE_API_KEYS=KEY) as server:
        yield server


def invoked(server: Server, model: str, data: Any, deployment: str = "") -> requests.Response:
    """As azure-ai-ml's `online_endpoints.invoke` asks: a JSON body, and these headers."""
    headers = {**EndpointInvokeFields.DEFAULT_HEADER}
    headers[EndpointInvokeFields.AUTHORIZATION] = f"Bearer {KEY}"
    if deployment:
        headers[EndpointInvokeFields.MODEL_DEPLOYMENT] = deployment
    return requests.post(f"{server.url}/score/{model}", json=data, headers=headers, timeout=30)


def test_the_older_notebook_decodes_the_answer_twice(server: Server) -> None:
    headers = {**JSON, **BEARER}
    body = json.dumps({"data": DOG})
    answer = requests.post(f"{server.url}/score/dog_breeds", body, headers=headers, timeout=30)
    told = json.loads(answer.json())

    assert answer.headers["content-type"] == "application/json"
    assert told["label"] == "Italian_greyhound"
    assert isinstance(told["probability"], str)
    assert 0.9 < float(told["probability"]) <= 1


def test_service_run_of_2018_prints_a_body_that_is_decodable_once_more(server: Server) -> None:
    answer = requests.post(
        f"{server.url}/score/dog_breeds", data=f'{{"data": "{DOG}"}}',
        headers={**JSON, **BEARER, "x-ms-client-request-id": "run-1"}, timeout=30,
    )  # fmt: skip
    text = answer.content.decode()

    assert text.startswith('"{\\"label\\"')
    assert json.loads(json.loads(text)).keys() == {"label", "probability"}
    assert answer.headers["x-ms-client-request-id"] == "run-1"


@pytest.mark.parametrize("deployment", ["", "1"])
def test_azure_ai_ml_s_invoke_is_answered(server: Server, deployment: str) -> None:
    answer = invoked(server, "churn_script", {"data": CUSTOMERS}, deployment)

    assert (answer.status_code, answer.headers["x-model-version"]) == (200, "1")
    assert answer.json() == {"results": ["stays", "churns"]}


def test_invoke_of_a_deployment_that_is_not_there_is_told(server: Server) -> None:
    answer = invoked(server, "churn_script", {"data": CUSTOMERS}, "green")

    assert answer.status_code == 404
    assert "green" in answer.json()["message"]


@pytest.mark.parametrize("flag", ["--data", "--data-binary", "--json"])
def test_curl_s_body_is_the_script_s_whatever_content_type_it_is_called(
    server: Server, flag: str
) -> None:
    url, key = f"{server.url}/score/claim_fields", f"Authorization: Bearer {KEY}"
    told = subprocess.run(
        ["curl", "-sS", url, "-H", key, flag, json.dumps(CLAIM_TEXT)],
        capture_output=True,
        check=True,
    )

    assert json.loads(told.stdout) == FOUND


def test_the_query_of_a_get_is_the_script_s_without_what_names_the_model(server: Server) -> None:
    query = {**CLAIM_TEXT, "model_name": "claim_fields", "model_version": "1"}
    answer = requests.get(f"{server.url}/score", params=query, headers=BEARER, timeout=30)

    assert answer.json() == FOUND


def test_a_body_is_decoded_by_the_script_alone(server: Server) -> None:
    """Spaces, escapes and the order of keys are its business, and so are its own."""
    sent = b'{ "model_name": "else",\n "data":"paid \\u0024 7.00" }'
    headers = {**BEARER, **JSON}
    url = f"{server.url}/score/claim_fields"
    answer = requests.post(url, data=sent, headers=headers, timeout=30)

    assert answer.json()["results"]["amounts"] == [7.0]


def test_without_the_key_no_script_is_asked(server: Server) -> None:
    answer = requests.post(f"{server.url}/score/claim_fields", json=CLAIM_TEXT, timeout=30)

    assert answer.status_code == 401


@pytest.mark.parametrize("data", ["", "no base64!", base64.b64encode(b"no picture").decode(), 7])
def test_what_is_no_picture_is_told_by_the_sample(server: Server, data: object) -> None:
    answer = invoked(server, "dog_breeds", {"data": data})

    assert answer.status_code == 200
    assert "base64 of a JPEG" in json.loads(answer.json())["error"]
