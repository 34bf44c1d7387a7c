"""Scoring scripts behind a real server: served like any model, and no harm to each other."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pytest
import requests

from tests.scripts import RAW, SCHEMA, write_script
from tests.server import Server, serving

FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
UNWRITABLE = "An unexpected internal error occurred. Check the logs for more info."
SECRETS = {
    "AZURE_CLIENT_SECRET": "s3cret-1", "MY_TOKEN": "s3cret-2", "STORAGE": "AccountKey=s3cret-3",
    "SERVE_API_KEYS": "s3cret-4", "SERVE_ADMIN_KEYS": "s3cret-5",
}  # fmt: skip
KEYS = {"Authorization": "Bearer s3cret-4"}
KINDS = ["plain"] * 4 + ["schema"] * 3 + ["raw"] * 3
TEN = [f"{kind}_{number}" for number, kind in enumerate(KINDS)]
BEGINS = {
    "plain": "def run(data):\n    data = json.loads(data)['data']",
    "schema": f"{SCHEMA}\n@input_schema('data')\ndef run(data):",
    "raw": f"{RAW}\n@rawhttp\ndef run(request):\n    data = request.json['data']",
}
TOLD = """
    return {
        "data": data, "mine": mine, "flag": os.environ["FLAG"], "model": model, "pid": os.getpid(),
        "folder": os.path.basename(os.path.dirname(os.environ["AZUREML_MODEL_DIR"])),
        "at": os.getcwd(), "modules": [n for n in sys.modules if n.startswith("only_")],
        "secrets": [n for n, value in os.environ.items()
                    if "s3cret" in value or n.startswith("SERVE_")],
    }
"""
HARM = {
    # what run() does: its code, the status, what the log must show
    "raises": ("raise SystemExit(3)", 502, "SystemExit: 3"),
    "unserialisable": ("return {1, 2}", 502, "set is not JSON serializable"),
    "sleeps": ("time.sleep(30)", 504, ""),
    "exits": ("os._exit(7)", 502, "its process ended with exit code 7"),
    "segfault": ("import ctypes; ctypes.string_at(0)", 502, "its process ended with SIGSEGV"),
    "killed": ("os.kill(os.getpid(), 9)", 502, "its process ended with SIGKILL"),
    "prints": ("print('loud ' * 200_000)", 200, "loud loud"),
    "thread": ("threading.Thread(target=time.sleep, args=[60]).start()", 200, ""),
    "moves": ("os.chdir('/'); os.environ['HOME'] = '/'; sys.path.clear()", 200, ""),
    "writes": (
        "os.write(1, b'by descriptor\\n'); os.write(2, b'and more\\n')",
        200,
        "by descriptor",
    ),
    "forks": ("os.fork()", 200, ""),
    "closes": ("os.closerange(3, 100)", 502, "its process ended"),
    "recurses": ("run(raw)", 502, "RecursionError"),
    "grabs": ("bytearray(2**46)", 502, "MemoryError"),
    "signals": ("os.kill(os.getpid(), signal.SIGTERM)", 502, "its process ended with SIGTERM"),
}
WORDS = "import os, sys, time, json, threading, signal\n"
SLOW = """
    from azureml.contrib.services.aml_response import AMLResponse
    from azureml.contrib.services.aml_request import rawhttp
    import time, os

    def parts():
        for number in range(4):
            yield f"{number}\\n"
            time.sleep(0.3)

    @rawhttp
    def run(request):
        return AMLResponse(parts(), 200, {"Content-Type": "text/plain"})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Scripts that harm, one that streams, one that counts, and one of each that is good."""
    root = tmp_path_factory.mktemp("scripts")
    write_script(root, "good", "def run(data):\n    return data")
    write_script(root, "streams", SLOW)
    for name, (code, _, _) in HARM.items():
        run = f"def run(raw):\n    if 'harm' in raw:\n        {code}\n    return raw"
        write_script(root, name, WORDS + run, manifest="timeout_s: 0.7")
    with serving(SERVE_REGISTRY=str(root), SERVE_ADMIN_KEYS="admin") as server:
        yield server


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ten scripts of all kinds in a pod with secrets."""
    root = tmp_path_factory.mktemp("ten")
    for name in TEN:
        init = f"def init():\n    global model\n    model = os.environ['FLAG'] = {name!r}"
        code = f"{WORDS}import only_{name}\nfrom shared import mine\n{init}\n"
        code += BEGINS[name.partition("_")[0]] + TOLD
        folder = write_script(root, name, code, shared=f"mine = {name!r}")
        (folder / f"only_{name}.py").touch()
    with serving(SERVE_REGISTRY=str(root), **SECRETS) as server:
        yield server


def children_of(process: int) -> set[int]:
    """Processes that it has begun."""
    told = Path(f"/proc/{process}/task").glob("*/children")
    return {int(child) for each in told for child in each.read_text().split()}


def is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_folder_with_a_script_and_nothing_else_is_served(server: Server) -> None:
    answer = server.post("/score/good", data=b'{"data": 1}')

    assert (answer.status_code, answer.text) == (200, '"{\\"data\\": 1}"')
    assert server.models()["good"]["state"] == "READY"
    assert answer.headers["x-model-name"] == "good"


@pytest.mark.parametrize("name", HARM)
def test_a_script_that_harms_itself_harms_nobody_else(server: Server, name: str) -> None:
    _, status, told = HARM[name]
    asked = [server.post(f"/score/{name}", data=body) for body in ("harm", "x", "y")]

    assert [each.status_code for each in asked] == [status, 200, 200]
    assert [each.text for each in asked[1:]] == ['"x"', '"y"']
    if status == 502:
        has_raised = name != "unserialisable"
        assert asked[0].json() == {"message": FAILED if has_raised else UNWRITABLE}
        assert asked[0].headers["x-ms-run-function-failed"] == str(has_raised)
    if status == 504:
        assert asked[0].json()["message"].startswith("Scoring timeout after ")
    assert server.post("/score/good", data="still").json() == "still"
    server.wait_until(lambda: told in server.log() and f"{name}:1" in server.log())


def test_while_one_script_sleeps_the_others_answer_at_once(server: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(requests.post, f"{server.url}/score/sleeps", data="harm", timeout=30)
        time.sleep(0.1)
        started = time.monotonic()
        assert server.post("/score/good", data="x").status_code == 200
        assert time.monotonic() - started < 0.4
        assert slow.result().status_code == 504


def test_what_a_script_prints_is_logged_with_its_name_and_no_other_s(server: Server) -> None:
    server.post("/score/writes", data="harm")
    server.wait_until(lambda: "by descriptor" in server.log())
    lines = [json.loads(line) for line in server.log().splitlines() if "by descriptor" in line]

    assert {line["message"] for line in lines} == {"writes:1: by descriptor"}


def test_no_answer_tells_what_went_wrong_inside(server: Server) -> None:
    for name, (_, status, _) in HARM.items():
        if status == 502:
            text = server.post(f"/score/{name}", data="harm").text
            assert json.loads(text)["message"] in (FAILED, UNWRITABLE)


def test_a_streamed_answer_comes_in_parts(server: Server) -> None:
    started, seen = time.monotonic(), []
    with server.get("/score/streams", stream=True) as answer:
        for line in answer.iter_lines(chunk_size=1):
            seen.append((line, time.monotonic() - started))

    assert [line for line, _ in seen] == [b"0", b"1", b"2", b"3"]
    assert seen[0][1] < 0.6 < seen[-1][1]
    assert answer.headers["content-type"] == "text/plain"


def test_a_reader_that_leaves_a_stream_leaves_the_script_answering(server: Server) -> None:
    with server.get("/score/streams", stream=True) as answer:
        next(answer.iter_content(1))
    again = requests.get(f"{server.url}/score/streams", timeout=30)

    assert again.text == "0\n1\n2\n3\n"


def test_the_memory_of_its_process_counts_as_the_script_s(server: Server) -> None:
    told = server.get("/metrics").text.splitlines()
    line = next(each for each in told if each.startswith('model_memory_bytes{model="good"'))

    assert float(line.split()[-1]) > 5e6


def test_a_script_that_is_unloaded_ends_its_process(server: Server) -> None:
    before = children_of(server.process.pid)
    admin = {"Authorization": "Bearer admin"}
    answer = server.post("/admin/models/moves/unload", headers=admin)

    assert answer.status_code == 200, answer.text
    server.wait_until(lambda: len(before - children_of(server.process.pid)) == 1)


def test_ten_scripts_of_all_kinds_never_see_each_other(ten: Server) -> None:
    def asked(number: int) -> tuple[str, dict[str, object]]:
        name = TEN[number % len(TEN)]
        given = requests.post(
            f"{ten.url}/score/{name}", json={"data": number}, headers=KEYS, timeout=60
        )
        assert given.status_code == 200, given.text
        return name, {**given.json(), "asked": number}

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(asked, range(200)))

    for name, told in answers:
        assert told["data"] == told["asked"]
        assert {told[key] for key in ("mine", "flag", "model", "folder")} == {name}
        assert told["modules"] == [f"only_{name}"]
        assert str(told["at"]).endswith(f"/{name}/1")
    assert len({told["pid"] for _, told in answers}) == len(TEN)


@pytest.mark.parametrize("name", [TEN[0], TEN[4], TEN[7]])
def test_no_secret_of_the_pod_is_a_script_s(ten: Server, name: str) -> None:
    told = ten.post(f"/score/{name}", json={"data": 0}, headers=KEYS).json()

    assert told["secrets"] == []


def test_the_kinds_are_what_they_should_be(ten: Server) -> None:
    given = {"headers": {**KEYS, "Content-Type": "text/plain"}, "data": '{"data": 1}'}
    statuses = {name: ten.post(f"/score/{name}", **given).status_code for name in TEN}

    assert {statuses[name] for name in TEN[4:7]} == {415}
    assert {statuses[name] for name in TEN[:4]} == {200}


def test_a_script_s_folder_is_as_it_was_after_it_has_run(tmp_path: Path) -> None:
    folder = write_script(tmp_path, "clean", "import beside\ndef run(d):\n    return 1", beside="")
    with serving(SERVE_REGISTRY=str(tmp_path), PYTHONDONTWRITEBYTECODE="") as server:
        assert server.post("/score/clean", data="x").json() == 1
        pids = children_of(server.process.pid)
        server.stop()

    assert sorted(path.name for path in folder.iterdir()) == ["beside.py", "score.py"]
    assert [pid for pid in pids if is_there(pid)] == []


@pytest.mark.parametrize(
    "run", ["", "import time; time.sleep(30)", "sum(range(10**12))  # no other thread runs"]
)
def test_a_server_that_is_killed_leaves_no_process_behind(tmp_path: Path, run: str) -> None:
    code = """
        import subprocess
        def init():
            subprocess.Popen(["sleep", "60"])
        """
    write_script(tmp_path, "left", f"{dedent(code)}\ndef run(data):\n    {run or 'return 1'}")
    with serving(SERVE_REGISTRY=str(tmp_path)) as server, ThreadPoolExecutor(1) as pool:
        if run:
            pool.submit(requests.post, f"{server.url}/score/left", data="x", timeout=60)
            time.sleep(0.3)
        pids = children_of(server.process.pid)
        pids |= {pid for parent in pids for pid in children_of(parent)}
        os.kill(server.process.pid, signal.SIGKILL)
        until = time.monotonic() + 3
        while time.monotonic() < until and any(is_there(pid) for pid in pids):
            time.sleep(0.05)

    assert len(pids) == 2
    assert [pid for pid in pids if is_there(pid)] == []


def test_a_script_whose_init_raises_is_told_and_the_others_are_served(tmp_path: Path) -> None:
    write_script(tmp_path, "broken", "def init():\n    1 / 0\ndef run(data):\n    return 1")
    write_script(tmp_path, "whole", "def run(data):\n    return 1")
    with serving(SERVE_REGISTRY=str(tmp_path)) as server:
        answer = server.post("/score/broken", data="x")
        assert answer.status_code == 503
        assert "score.py: it raised ZeroDivisionError" in answer.json()["message"]
        assert server.post("/score/whole", data="x").json() == 1
        assert (
            "in init\n"
            in json.loads(
                next(line for line in server.log().splitlines() if "its start raised" in line)
            )["message"]
        )


def test_a_run_that_raised_is_logged_with_the_id_of_its_request(tmp_path: Path) -> None:
    code = "import os\ndef run(data):\n    return os._exit(1) if data == 'end' else 1 / 0"
    write_script(tmp_path, "raises", code)
    with serving(SERVE_REGISTRY=str(tmp_path)) as server:
        for body in ("x", "end"):
            server.post("/score/raises", data=body, headers={"x-request-id": f"of-{body}"})
        server.wait_until(lambda: server.log().count('"level":"error"') == 2)
        lines = [
            json.loads(line) for line in server.log().splitlines() if '"level":"error"' in line
        ]

    assert [line["request_id"] for line in lines] == ["of-x", "of-end"]
    assert "ZeroDivisionError" in lines[0]["message"]


def test_a_script_that_is_overloaded_says_so_as_scripts_do(tmp_path: Path) -> None:
    write_script(tmp_path, "slow", "import time\ndef run(data):\n    time.sleep(0.4)")
    with serving(SERVE_REGISTRY=str(tmp_path)) as server, ThreadPoolExecutor(6) as pool:
        assert server.post("/score/slow", data="x").status_code == 200
        waiting = [pool.submit(server.post, "/score/slow", data="x") for _ in range(5)]
        time.sleep(0.2)
        refused = server.post("/score/slow", data="x", headers={"x-request-timeout-ms": "500"})
        assert [each.result().status_code for each in waiting] == [200] * 5

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert list(refused.json()) == ["message"]
