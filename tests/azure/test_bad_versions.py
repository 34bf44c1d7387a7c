"""A newer version that is no good never answers: the one before does, and the reason is told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson
import pytest
import requests

from tests.azure.control_plane import CONTAINER
from tests.azure.fixtures import OLDER, Azure
from tests.azure.gateway import Gateway
from tests.models import table
from tests.server import Server, serving

ROW = [[3]]
MB = 1 << 20
GOLDEN = orjson.dumps([{"request": {"data": ROW}, "results": [[5.0]]}])
REASONS = {
    "corrupt": "model.onnx",
    "wrong hash": "sha256",
    "truncated": "broke off",
    "empty": "no files below",
    "golden": "got 2.0, wanted 5.0",
    "too large": "bytes",
}
"""Of each fault, words of what is told."""


def register(azure: Azure, folder: Path, version: int, fault: str = "") -> None:
    """A version that answers with its own number, unless it has a fault."""
    size = 64 * MB if fault == "too large" else 4096
    file = table(folder / str(version), version, size) / "model.onnx"
    if fault == "corrupt":
        file.write_bytes(file.read_bytes()[:2000])
    if fault == "golden":
        file.with_name("golden.json").write_bytes(GOLDEN)
    path = f"{folder.name}/{version}"
    if fault != "empty":
        azure.storage.put_folder(CONTAINER, path, file.parent)
    told = {"sha256": hashlib.sha256(b"another").hexdigest()} if fault == "wrong hash" else {}
    azure.plane.register("m", str(version), path, tags=told)


def settings(azure: Azure) -> dict[str, str]:
    return {
        **azure.environment(), **OLDER, "SERVE_REGISTRY": "", "SERVE_MODELS": "m",
        "SERVE_REFRESH_S": "0.2", "SERVE_MEMORY_BYTES": str(32 * MB),
    }  # fmt: skip


def reason(server: Server) -> str:
    told = server.models().get("m", {})
    return str(told.get("reason") or told.get("stale") or told.get("refused", ""))


@pytest.mark.parametrize("fault", REASONS)
def test_the_version_before_goes_on_and_the_reason_is_told(
    azure: Azure, gateway: Gateway, tmp_path: Path, fault: str
) -> None:
    register(azure, tmp_path, 1)
    if fault == "truncated":
        gateway.fail(f"{tmp_path.name}/2/model.onnx", cut_at=100)
    with serving("/readyz", **settings(azure)) as server:
        register(azure, tmp_path, 2, fault)
        server.wait_until(lambda: REASONS[fault] in reason(server))
        assert server.score("m", ROW) == [[1.0]]
        assert server.get("/readyz").status_code == 200
        assert "Traceback" not in server.get("/readyz?verbose").text

        register(azure, tmp_path, 3)
        server.wait_until(lambda: server.score("m", ROW) == [[3.0]])
        server.wait_until(lambda: not reason(server))


@pytest.mark.long
@pytest.mark.parametrize("fault", REASONS)
def test_without_a_version_before_the_server_is_alive_not_ready_and_says_why(
    azure: Azure, gateway: Gateway, tmp_path: Path, fault: str
) -> None:
    register(azure, tmp_path, 1, fault)
    if fault == "truncated":
        gateway.fail(f"{tmp_path.name}/1/model.onnx", cut_at=100)
    with serving("/livez", **settings(azure)) as server:
        told = REASONS[fault].replace("got 2.0", "got 1.0")
        server.wait_until(lambda: told in reason(server))
        answer = server.post("/score/m", json={"data": ROW})
        assert (answer.status_code, answer.json()["code"]) == (503, "model-unavailable")
        assert told in answer.json()["message"]
        assert int(answer.headers["retry-after"]) >= 1
        assert server.get("/readyz").status_code == 503
        assert requests.get(f"{server.url}/livez", timeout=30).status_code == 200
