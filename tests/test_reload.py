"""`serve --reload`: what is edited answers within a second, and nothing is lost meanwhile."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.scripts import write_script
from tests.server import Server, run, serving
from tests.serving import write_model

COMMAND = (sys.executable, "-m", "app", "serve", "--reload")
ONE = "from beside import told\ndef run(data):\n    return told"
HELD = """
    import time
    def run(data):
        time.sleep(float(data))
        return "{}"
"""
WRITES = """
    import json, os, pathlib
    def init():
        json.dump(os.getpid(), open("last.json", "w"))
        pathlib.Path("__pycache__").mkdir(exist_ok=True)
        pathlib.Path("__pycache__/score.py").write_text(str(os.getpid()))
    def run(data):
        with open("run.log", "a") as log:
            print(data, file=log)
        return os.getpid()
"""


@contextmanager
def reloading(root: Path, wait_for: str = "/readyz", **settings: str) -> Iterator[Server]:
    with serving(wait_for, *COMMAND, SERVE_REGISTRY=str(root), **settings) as server:
        yield server


def told(server: Server, name: str = "one") -> object:
    answer = server.post(f"/score/{name}", data="0")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_module_beside_the_script_is_read_again_within_two_seconds(tmp_path: Path) -> None:
    folder = write_script(tmp_path, "one", ONE, beside="told = 1")
    with reloading(tmp_path) as server:
        assert told(server) == 1
        for number in (2, 3):  # as many bytes, within the same second
            (folder / "beside.py").write_text(f"told = {number}")
            edited = time.monotonic()
            server.wait_until(lambda: told(server) == number)  # noqa: B023  # asked at once
            assert time.monotonic() - edited < 5
        assert server.log().count("the files of") == 2
        assert "not_reloaded" not in server.models()["one"]


def test_a_script_that_is_broken_answers_as_before_and_says_why(tmp_path: Path) -> None:
    folder = write_script(tmp_path, "one", "def run(data):\n    return 1")
    with reloading(tmp_path) as server:
        (folder / "score.py").write_text("def run(data:\n    return 2")
        server.wait_until(lambda: "not_reloaded" in server.models()["one"])
        assert "score.py: it raised SyntaxError" in server.models()["one"]["not_reloaded"]
        (line,) = [line for line in server.log().splitlines() if "was not loaded again" in line]
        assert "score.py: it raised SyntaxError" in line
        assert (server.models()["one"]["state"], told(server)) == ("READY", 1)

        (folder / "score.py").write_text("def init(): pass\ndef run(data):\n    return 3")
        server.wait_until(lambda: told(server) == 3)
        assert "not_reloaded" not in server.models()["one"]


def test_a_script_that_never_loaded_is_tried_as_soon_as_it_is_mended(tmp_path: Path) -> None:
    folder = write_script(tmp_path, "one", "def run(data:\n    pass")
    with reloading(tmp_path, "/livez") as server:
        server.wait_until(lambda: server.models()["one"].get("next_try_s", 0) > 5)
        mended = time.monotonic()
        (folder / "score.py").write_text("def init(): pass\ndef run(data):\n    return 1")
        server.wait_until(lambda: server.models()["one"]["state"] == "READY")
        assert time.monotonic() - mended < 5
        assert told(server) == 1


def test_no_request_fails_while_the_script_is_switched(tmp_path: Path) -> None:
    folder = write_script(tmp_path, "one", HELD.format("before"))
    with reloading(tmp_path) as server, ThreadPoolExecutor(4) as pool:
        inside = pool.submit(server.post, "/score/one", data="3")
        time.sleep(0.3)
        (folder / "score.py").write_text((folder / "score.py").read_text().replace("before", "now"))
        answers = {told(server) for _ in range(20)}
        server.wait_until(lambda: told(server) == "now")
        assert answers <= {"before", "now"}
        assert inside.result().json() == "before"


def test_its_manifest_schema_and_golden_file_are_read_again(tmp_path: Path) -> None:
    folder = write_script(tmp_path, "one", HELD.format("x"))
    with reloading(tmp_path) as server:
        assert server.post("/score/one", data="1").status_code == 200
        (folder / "manifest.yaml").write_text("timeout_s: 0.2")
        server.wait_until(lambda: server.post("/score/one", data="1").status_code == 504)
        (folder / "manifest.yaml").write_text("timeout_s: never")
        server.wait_until(lambda: "not_reloaded" in server.models()["one"])
        assert "timeout_s must be a number" in server.models()["one"]["not_reloaded"]


def test_what_a_script_writes_beside_itself_is_no_edit(tmp_path: Path) -> None:
    folder = write_script(tmp_path, "one", WRITES)
    with reloading(tmp_path) as server:
        process = told(server)
        (folder / "score.py").touch()
        server.wait_until(lambda: told(server) != process)
        process = told(server)
        time.sleep(2)
        assert told(server) == process
        assert (folder / "run.log").exists()
        assert server.log().count("the files of") == 1


def test_a_native_model_is_read_again_and_only_that_one(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "double")
    write_model(tmp_path, "other")
    with reloading(tmp_path) as server:
        before = {name: model["digest"] for name, model in server.models().items()}
        wrong = [{"request": {"data": [[1.0]]}, "results": [[3.0]]}]
        (folder / "golden.json").write_text(json.dumps(wrong))
        server.wait_until(lambda: "not_reloaded" in server.models()["double"])
        assert server.score("double", [[2.0]]) == [[4.0]]
        right = [{"request": {"data": [[1.0]]}, "results": [[2.0]]}]
        (folder / "golden.json").write_text(json.dumps(right))
        server.wait_until(lambda: server.models()["double"]["digest"] != before["double"])
        assert server.models()["double"]["checked"] != server.models()["other"]["checked"]
        assert server.models()["other"]["digest"] == before["other"]


def test_a_pinned_model_is_read_again_where_two_of_it_have_no_room(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "r", "double", manifest="memory_bytes: 40Mi")
    config = tmp_path / "serve.yaml"
    config.write_text("models: [{name: double, pin: true}]")
    with reloading(tmp_path / "r", SERVE_CONFIG=str(config), SERVE_MEMORY_BYTES="64Mi") as server:
        before = server.models()["double"]["digest"]
        (folder / "manifest.yaml").write_text("memory_bytes: 50Mi")
        server.wait_until(lambda: server.models()["double"]["digest"] != before)
        (folder / "manifest.yaml").write_text("memory_bytes: 100Mi")
        server.wait_until(lambda: "not_reloaded" in server.models()["double"])
        assert server.score("double", [[2.0]]) == [[4.0]]


def test_one_script_in_place_of_another_server_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "score.py").write_text("def init(): pass\n" + ONE)
    (tmp_path / "beside.py").write_text("told = 1")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    settings = {"AZUREML_ENTRY_SCRIPT": "source/score.py", "AML_APP_ROOT": str(tmp_path)}
    with serving("/readyz", *COMMAND, **settings) as server:
        assert server.post("/score", data="x").json() == 1
        (tmp_path / "env" / "module.py").touch()
        for number in (2, 3, 4):  # as many bytes, within the same second
            (tmp_path / "beside.py").write_text(f"told = {number}")
            server.wait_until(lambda: server.post("/score", data="x").json() == number)  # noqa: B023
        assert server.log().count("the files of") == 3


def test_the_flag_of_azmlinfsrv_does_the_same(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): return 1")
    command = "import sys; from app.azmlinfsrv import main; main()"
    flags = ("--entry_script", str(tmp_path / "score.py"), "--port", "0", "--reload")
    settings = {"AML_APP_ROOT": str(tmp_path)}
    with serving("/readyz", sys.executable, "-c", command, *flags, **settings) as server:
        (tmp_path / "score.py").write_text("def init(): pass\ndef run(data): return 2")
        server.wait_until(lambda: server.post("/score", data=b"x").json() == 2)
        assert server.log().count("the files of") == 1


def test_without_the_flag_an_edit_waits_for_a_restart(tmp_path: Path) -> None:
    folder = write_script(tmp_path, "one", "def run(data):\n    return 1")
    with serving(SERVE_REGISTRY=str(tmp_path)) as server:
        (folder / "score.py").write_text("def init(): pass\ndef run(data):\n    return 2")
        time.sleep(1.5)
        assert told(server) == 1


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"SERVE_WORKERS": "3"}, "--reload is for one process; SERVE_WORKERS is 3: set 1"),
        (
            {"SERVE_REGISTRY": "azureml://registries/azureml"},
            "--reload looks at files; SERVE_REGISTRY is no folder",
        ),
        (
            {"SERVE_CONFIG": "registries: {far: {url: https://a.blob.core.windows.net/c}}"},
            "--reload looks at files; registries.far is no folder",
        ),
    ],
)
def test_where_no_files_can_be_watched_it_does_not_start(
    settings: dict[str, str], line: str, tmp_path: Path
) -> None:
    if "SERVE_CONFIG" in settings:
        (tmp_path / "serve.yaml").write_text(settings["SERVE_CONFIG"])
        settings = {"SERVE_CONFIG": str(tmp_path / "serve.yaml")}

    ended = run(tmp_path, "serve", "--reload", settings=settings)

    assert (ended.returncode, ended.stderr.decode().strip()) == (2, line)
