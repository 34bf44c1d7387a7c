"""A bug of ours: answered 500 without detail, logged with its traceback and the request's id."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.engine import Engine
from app.main import create_app
from app.settings import Settings
from app.telemetry.prometheus import Prometheus
from tests.server import CLAIM, SAMPLES


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    async def infer(*_: object) -> None:
        raise KeyError("a secret")

    def text(_: object) -> bytes:
        raise KeyError("a secret")

    monkeypatch.setattr(Engine, "infer", infer)
    monkeypatch.setattr(Prometheus, "text", text)
    environ = {"SERVE_REGISTRY": str(SAMPLES), "SERVE_MODELS": CLAIM}
    settings = Settings.load({**environ, "SERVE_CACHE_DIR": str(tmp_path)})
    application: Any = create_app(settings)
    with TestClient(application, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), [("POST", f"/score/{CLAIM}"), ("GET", "/metrics")])
def test_a_bug_is_answered_without_detail(
    client: TestClient, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = client.request(method, path, headers={"x-request-id": "my-id"})
    assert answer.status_code == 500
    assert answer.json() == {
        "message": "an error of the server; its log has it",
        "code": "internal",
        "request_id": "my-id",
        "errors": [],
    }
    assert "a bug; request id my-id" in caplog.text
