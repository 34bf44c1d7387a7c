"""What the operator names of the pod's secrets is seen by the script it is named for."""

from __future__ import annotations

import json
from pathlib import Path

from tests.scripts import write_script
from tests.server import run, serving

SECRETS = {"DB_KEY": "s3cret-1", "MY_TOKEN": "s3cret-2", "AZURE_CLIENT_SECRET": "s3cret-3"}
TOLD = """
import os

def run(data):
    return sorted(name for name, value in os.environ.items() if "s3cret" in value)
"""


def configure(folder: Path, **passed: list[str]) -> dict[str, str]:
    """Settings of a server with a script of each name."""
    config = folder / "serve.yaml"
    models = [{"name": name, "environment": names} for name, names in passed.items()]
    beside = folder / "beside"
    beside.write_text(json.dumps({"models": models}))
    beside.replace(config)
    for name in passed:
        if not (folder / "registry" / name).exists():
            write_script(folder / "registry", name, TOLD)
    return {"SERVE_REGISTRY": str(folder / "registry"), "SERVE_CONFIG": str(config), **SECRETS}


def test_a_script_sees_the_secrets_that_are_named_for_it_and_no_others(tmp_path: Path) -> None:
    settings = configure(tmp_path, one=["DB_KEY"], two=["MY_TOKEN", "SERVE_API_KEYS"], none=[])
    key = {"x-api-key": "s3cret-4"}
    with serving(**settings, SERVE_API_KEYS="s3cret-4") as server:
        seen = {n: server.post(f"/score/{n}", data="x", headers=key).json() for n in ("one", "two")}
        assert seen == {"one": ["DB_KEY"], "two": ["MY_TOKEN", "SERVE_API_KEYS"]}
        assert server.post("/score/none", data="x", headers=key).json() == []
        assert "s3cret" not in server.log()


def test_a_secret_that_is_named_while_serving_is_seen_by_new_processes(tmp_path: Path) -> None:
    settings = configure(tmp_path, one=[], two=[])
    with serving(**settings) as server:
        assert server.post("/score/one", data="x").json() == []
        configure(tmp_path, one=["DB_KEY"], two=[])
        server.wait_until(lambda: server.post("/score/one", data="x").json() == ["DB_KEY"])
        assert server.post("/score/two", data="x").json() == []
        configure(tmp_path, one=["DB_KEY", "DB_KYE"], two=[])
        wrong = "the configuration stays as it was: models, one: environment names DB_KYE"
        server.wait_until(lambda: wrong in server.log())
        assert server.post("/score/one", data="x").json() == ["DB_KEY"]


def test_a_server_does_not_start_without_what_its_scripts_are_to_see(tmp_path: Path) -> None:
    settings = configure(tmp_path, one=["DB_KYE", "MY_TOKEN"])

    ended = run(tmp_path, "serve", settings=settings)

    assert ended.returncode == 2
    assert ended.stderr.decode().splitlines()[-1] == (
        "models, one: environment names DB_KYE, which is not set here; set it for this server, or "
        "take it off the list"
    )


def test_what_is_named_for_a_model_that_is_no_script_is_told(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("models: [{name: churn, environment: [DB_KEY]}]")
    with serving(SERVE_CONFIG=str(config), **SECRETS) as server:
        assert "environment is for scoring scripts, which it is not" in server.log()
