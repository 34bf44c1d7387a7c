"""Probes and keys, over HTTP: who is answered what, and that nothing keeps a probe waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest
import requests

from tests import odd_models
from tests.odd_models import WAITS, WIDTH, Gate, Odd
from tests.server import CLAIM, Server, serving

PROBES = ("/livez", "/readyz", "/healthcheck", "/")
PROBE_S = 0.25
TRIES = 3
"""What keeps a probe waiting does so each time; a busy machine does not."""
MODEL_WORDS = (CLAIM, "churn", "sklearn", "onnx")


@pytest.fixture(scope="module")
def keyed() -> Iterator[Server]:
    settings = {"SERVE_API_KEYS": "first, second", "SERVE_METRICS_OPEN": "false"}
    with serving(SERVE_MODELS=CLAIM, **settings) as server:
        yield server


@pytest.mark.parametrize("path", PROBES)
def test_a_probe_is_answered_at_once_without_a_key_and_tells_no_names(
    keyed: Server, path: str
) -> None:
    answer = keyed.get(path)
    assert answer.status_code == 200
    assert not any(word in answer.text for word in MODEL_WORDS)


@pytest.mark.parametrize("path", [*PROBES, "/docs", "/openapi.json", "/metrics"])
def test_head_is_answered_as_get_without_a_body(samples: Server, path: str) -> None:
    got, head = samples.get(path), samples.session.head(samples.url + path, timeout=60)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_head_of_score_is_answered_as_get_without_a_body(samples: Server) -> None:
    head = samples.session.head(f"{samples.url}/score", timeout=60)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == len(samples.get("/score").content)


def test_the_healthcheck_is_status_only_without_a_key(keyed: Server) -> None:
    assert keyed.get("/healthcheck").json() == {"HealthStatus": "Okay"}
    told = keyed.get("/healthcheck", headers={"x-api-key": "first"}).json()
    assert (told["WorkspaceDetails"], told["Models"]) == ("{}", [f"{CLAIM}:1"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-api-key": "wrong"}, 401),
        ({"x-api-key": ""}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer firs"}, 401),
        ({"Authorization": "Basic first"}, 401),
        ({"x-api-key": "first, second"}, 401),
        ({"x-api-key": "first"}, 200),
        ({"Authorization": "Bearer second"}, 200),
        ({"authorization": "bearer first"}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/score", f"/score/{CLAIM}", "/readyz?verbose", "/metrics"])
def test_what_is_behind_keys_wants_one_of_them(
    keyed: Server, path: str, headers: dict[str, str], status: int
) -> None:
    answer = keyed.get(path, headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["code"] == "unauthenticated"
        assert not any(word in answer.text for word in MODEL_WORDS)


@pytest.mark.parametrize("key", ["first", "second"])
def test_each_key_scores_and_none_is_written_down(keyed: Server, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    answer = keyed.post(f"/score/{CLAIM}", json={"data": "fire"}, headers=headers)
    assert answer.status_code == 200
    refused = keyed.post("/score/unknown-model", json={"data": "fire"})
    assert refused.json()["code"] == "unauthenticated"
    assert key not in keyed.log()


def test_a_request_without_a_key_is_refused_before_its_body_comes(keyed: Server) -> None:
    head = f"POST /score/{CLAIM} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    answer = keyed.exchange(f"{head}Content-Length: 1000000\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_metrics_are_open_by_default_and_count_by_route_template(samples: Server) -> None:
    samples.post("/score/some-unknown-name", json={"data": 1})
    text = samples.get("/metrics").text
    assert 'route="/score/{model}",status="404"' in text
    assert "some-unknown-name" not in text


def test_verbose_readiness_tells_how_each_model_is(samples: Server) -> None:
    models = samples.models()
    assert set(models) == {"churn", CLAIM}
    assert models["churn"]["state"] == "READY"
    assert models["churn"]["checked"] == "golden: 4 requests"


def test_probes_are_answered_while_every_model_thread_is_inside_a_model(tmp_path: Path) -> None:
    odd_models.save(tmp_path / "r", "odd", Odd())
    gate = Gate(tmp_path / "gate")
    settings = {"SERVE_REGISTRY": str(tmp_path / "r"), "SERVE_THREADS": "2"}
    with serving(GATE=str(gate.folder), **settings) as server, ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(server.score, "odd", WAITS) for _ in range(4)]
        gate.wait("predict", 2)
        slowest = [max(_seconds(server, path) for path in PROBES * 10) for _ in range(TRIES)]
        gate.open()
        assert [answer.result() for answer in asked] == [WAITS] * 4
    assert min(slowest) < PROBE_S


def test_probes_are_answered_while_a_large_body_is_decoded(tmp_path: Path) -> None:
    odd_models.save(tmp_path / "r", "odd", Odd(WIDTH))
    row = b"[" + b",".join(b"%.15f" % (k / 7) for k in range(WIDTH)) + b"],"
    rows = 50_000_000 // len(row)
    body = b'{"data":[' + (row * rows)[:-1] + b"]}"
    slowest: list[float] = []
    with serving(SERVE_REGISTRY=str(tmp_path / "r"), SERVE_BODY_MEMORY_BYTES="200M") as server:
        while len(slowest) < TRIES and min(slowest, default=1) >= PROBE_S:
            slowest.append(_slowest_probe_during(server, body, rows))
    assert min(slowest) < PROBE_S


def _slowest_probe_during(server: Server, body: bytes, rows: int) -> float:
    """In seconds, while `body` is scored."""
    taken: list[float] = []
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(server.post, "/score", data=body)
        while not answer.done():
            taken.append(_seconds(server, PROBES[len(taken) % 4]))
    assert len(orjson.loads(answer.result().content)["results"]) == rows
    assert len(taken) > 3
    return max(taken)


def _seconds(server: Server, path: str) -> float:
    started = time.perf_counter()
    assert requests.get(server.url + path, timeout=60).status_code == 200
    return time.perf_counter() - started
