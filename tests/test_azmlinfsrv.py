"""The flags of azureml-inference-server-http, and the server that they start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.azmlinfsrv import put
from tests.server import serving

SCRIPT = """
import os
def init(): print("it begins")
def run(data): return [data, os.environ["AZUREML_MODEL_DIR"]]
"""


def test_flags_are_variables_by_another_name(tmp_path: Path) -> None:
    environ = {"AML_APP_ROOT": "/app"}
    put(
        ["--entry_script", "a/score.py", "--model_dir", str(tmp_path), "--port", "80",
         "--worker_count", "3", "--access_control_allow_origins", "*"],
        environ,
    )  # fmt: skip

    assert environ == {
        "AML_APP_ROOT": "/app",
        "AZUREML_ENTRY_SCRIPT": str(Path("a/score.py").resolve()),
        "AZUREML_MODEL_DIR": str(tmp_path),
        "SERVE_PORT": "80",
        "WORKER_COUNT": "3",
        "AML_CORS_ORIGINS": "*",
    }


@pytest.mark.parametrize("flags", [[], ["--entry_script"], ["--port", "x"], ["--unknown"]])
def test_other_flags_end_it_with_help(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        put(flags, {})

    assert caught.value.code == 1
    assert "--entry_script" in capsys.readouterr().err


def test_it_serves_the_script(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCRIPT)
    command = "import sys; from app.azmlinfsrv import main; main()"
    flags = ("--entry_script", str(tmp_path / "score.py"), "--model_dir", "m", "--port", "0")
    with serving("/readyz", sys.executable, "-c", command, *flags) as server:
        answer = server.post("/score", data=b"x")
        assert answer.json() == ["x", str(Path("m").resolve())]
        assert server.get("/").text == "Healthy"
        server.wait_until(lambda: "it begins" in server.log())
        assert server.stop() == 0


def test_with_keys_only_what_tells_nothing_answers_without_one(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(
        "from azureml_inference_server_http.api.aml_request import rawhttp\n"
        "def init(): pass\n@rawhttp\ndef run(request): return request.method\n"
    )
    given = {"AML_APP_ROOT": str(tmp_path), "AZUREML_ENTRY_SCRIPT": "score.py"}
    with serving("/readyz", **given, SERVE_API_KEYS="hunter2") as server:
        asked = {"/": 200, "/score": 401, "/swagger.json": 401}
        assert {path: server.get(path).status_code for path in asked} == asked
        preflight = server.session.options(f"{server.url}/score")
        assert (preflight.status_code, preflight.text) == (200, "")
        headers = {"Authorization": "Bearer hunter2"}
        assert server.get("/score", headers=headers).json() == "GET"
        assert server.get("/swagger.json", headers=headers).json()["swagger"] == "2.0"
