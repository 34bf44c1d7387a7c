"""One script as a model: its processes, and how they end."""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path
from typing import Any

import pytest

from app import golden, manifest
from app.errors import (
    DeadlineExceeded,
    GoldenMismatch,
    ModelFailed,
    ModelInvalid,
    ModelUnavailable,
)
from app.runtimes.script import model as scripts
from app.runtimes.script.told import Told
from app.schema import Schema
from tests.runtimes.script.asking import Load, asked, is_there, value
from tests.scripts import write_script


def test_init_is_called_once_and_its_values_stay(load: Load) -> None:
    model = load(
        "def init():\n    global n\n    n = 0\ndef run(d):\n    global n; n += 1; return n"
    )

    assert [value(model) for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("size", [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 5_000_000])
def test_bodies_of_any_size_go_there_and_back(load: Load, size: int) -> None:
    assert value(load("def run(data):\n    return data"), b"x" * size) == "x" * size


def test_its_processes_end_when_nobody_has_it_any_more(load: Load) -> None:
    code = """
        import os, subprocess
        def init():
            global other
            other = subprocess.Popen(["sleep", "60"])
        def run(data):
            return [os.getpid(), other.pid]
        """
    model = load(code)
    pids = value(model)
    del model
    gc.collect()

    time.sleep(0.2)
    assert not is_there(pids[0])
    assert not any(is_there(pid) and _state(pid) != "Z" for pid in pids)


def _state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def test_what_takes_too_long_is_ended_and_the_next_is_answered(load: Load) -> None:
    code = "import time\ndef run(data):\n    time.sleep(float(data)); return data"
    model = load(code, manifest="timeout_s: 0.3")
    with pytest.raises(DeadlineExceeded, match="Scoring timeout after 300 ms"):
        asked(model, b"20")

    assert value(model, b"0") == "0"


def test_a_process_that_has_ended_between_two_requests_is_begun_again(load: Load) -> None:
    code = (
        "import os, threading\ndef run(data):\n    threading.Timer(0.05, os._exit, [1]).start()\n"
    )
    model = load(code + "    return os.getpid()")
    first = value(model)
    time.sleep(0.3)

    assert value(model) != first


def test_a_process_that_does_not_begin_again_is_told_as_unavailable(
    load: Load, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    model = load(f"import os\nassert not os.path.exists({str(flag)!r})\ndef run(d): os._exit(1)")
    flag.touch()
    with pytest.raises(ModelFailed):
        asked(model)
    with pytest.raises(ModelUnavailable, match="raised AssertionError"):
        asked(model)
    flag.unlink()

    with pytest.raises(ModelFailed):  # it was there again
        asked(model)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "def run(data): pass\ndef init():\n    1 / 0",
            "it raised ZeroDivisionError in line 3 at its start; the log",
        ),
        (
            "\nimport no_such\ndef run(data): pass",
            r"ModuleNotFoundError \(no_such\) in line 2 at its start",
        ),
        ("import json\njson.loads('s3cret')", "it raised JSONDecodeError in line 2 at its start"),
        ("\ndef run(data) pass", "it raised SyntaxError in line 2 at its start"),
        ("import sys\nsys.exit(0)", "it raised SystemExit in line 2 at its start"),
        ("import os\nos._exit(4)", "exit code 4 before its init"),
        ("import os\nos.kill(os.getpid(), 9)", "SIGKILL before its init"),
        ("def init(): pass", r"no run\(\) function"),
        ("def run(): pass", "no argument for the input"),
    ],
)
def test_a_script_that_cannot_be_served_is_invalid_with_the_reason(
    load: Load, code: str, why: str
) -> None:
    with pytest.raises(ModelInvalid, match=f"score.py: .*{why}"):
        load(code)


def test_an_init_that_never_returns_is_given_up(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "START_S", 0.5)
    with pytest.raises(ModelInvalid, match=r"init\(\) took longer than 0.5 s"):
        load("import time\ndef init(): time.sleep(60)\ndef run(data): pass")


def test_a_script_that_is_not_trusted_does_not_run(tmp_path: Path) -> None:
    write_script(tmp_path, "name", f"open({str(tmp_path / 'ran')!r}, 'w')\ndef run(d): pass")
    with pytest.raises(ModelInvalid, match=r"score\.py is code: not ours"):
        scripts.load(manifest.read(tmp_path / "name/1"), 1, untrusted="not ours")

    assert not (tmp_path / "ran").exists()


def test_what_it_takes_of_memory_is_what_its_processes_take(load: Load) -> None:
    small = load("def run(data):\n    global held; held = bytearray(50_000_000)")
    before = small.resident_bytes
    asked(small)

    assert before > 5e6
    assert 45e6 < small.resident_bytes - before < 70e6


@pytest.mark.parametrize(
    "told", [b"[]", b"{}", b"no json", b'{"status": "x", "headers": []}', b'{"headers": [[1]]}']
)
def test_a_head_that_is_none_is_not_believed(told: bytes) -> None:
    with pytest.raises(ValueError):
        Told.of(told)


@pytest.mark.parametrize(("results", "is_right"), [([1.0000000001], True), ([2], False)])
def test_a_golden_file_holds_for_a_script(
    load: Load, tmp_path: Path, results: Any, is_right: bool
) -> None:
    entries = json.dumps([{"request": {"data": 1}, "results": results}])
    model = load("import json\ndef run(d):\n    return [json.loads(d)['data']]", golden=entries)
    given = model, Schema(model.signature), tmp_path / "name/1/golden.json"
    if is_right:
        assert golden.check(*given).checked == "golden: 1 requests"
    else:
        with pytest.raises(GoldenMismatch, match="request 0"):
            golden.check(*given)
