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
