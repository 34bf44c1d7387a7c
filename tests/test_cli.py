"""The command line: help, scoring without a server, and how it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import orjson
import pytest

from tests.server import CLAIM, CUSTOMERS, run, serving

TEXTS = ["My house is on fire", "Someone hit my car while it was parked"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ["serve", "score"]),
        (["serve", "--help"], ["SERVE_REGISTRY", "SIGTERM"]),
        (["score", "--help"], ["NAME:VERSION", "standard input", "curl"]),
        ([], ["serve", "score"]),
    ],
)
def test_help_tells_what_there_is(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    done = run(tmp_path, *arguments)
    text = " ".join((done.stdout + done.stderr).decode().split())
    assert all(word in text for word in words)
    assert done.returncode in (0, 2)


def test_a_model_scores_its_own_example(tmp_path: Path) -> None:
    done = run(tmp_path, "score", CLAIM)
    assert (done.returncode, done.stdout) == (0, b'{"results":0}\n')
    assert done.stderr.startswith(b"curl -s http://localhost:")


@pytest.mark.parametrize("content", [TEXTS, {"data": TEXTS}])
def test_a_file_holds_data_or_a_request(tmp_path: Path, content: object) -> None:
    file = tmp_path / "request.json"
    file.write_bytes(orjson.dumps(content))
    done = run(tmp_path, "score", CLAIM, str(file))
    assert (done.returncode, done.stdout) == (0, b'{"results":[0,1]}\n')


def test_standard_input_is_read_for_a_version(tmp_path: Path) -> None:
    asked = {"input_data": CUSTOMERS[0], "outputs": ["label"]}
    done = run(tmp_path, "score", "churn:1", "-", stdin=orjson.dumps(asked))
    assert (done.returncode, done.stdout) == (0, b'{"label":"stays"}\n')
    assert b"/score/churn/versions/1" in done.stderr


@pytest.mark.parametrize("key", ["", "a-key"])
def test_the_curl_line_asks_a_server_the_same(tmp_path: Path, key: str) -> None:
    keys = {"SERVE_API_KEYS": key} if key else {}
    text = {"data": ['it\'s "mine" $HOME `ls` \\ é', "a\nb"], "outputs": ["label"]}
    with serving(SERVE_MODELS=CLAIM, **keys) as server:
        settings = {"SERVE_PORT": str(server.port), **keys}
        done = run(tmp_path, "score", CLAIM, "-", stdin=orjson.dumps(text), settings=settings)
        line = done.stderr.decode().replace("localhost", "127.0.0.1")
        environ = {"PATH": "/usr/bin:/bin", "KEY": key}
        asked = subprocess.run(["sh", "-c", line], env=environ, capture_output=True, timeout=30)
    assert orjson.loads(asked.stdout) == orjson.loads(done.stdout)
    assert orjson.loads(asked.stdout)["results"]["label"]
    assert not key or key not in done.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason"),
    [
        (["score", "unknown"], b"", "no model 'unknown'"),
        (["score", "chrn"], b"", "did you mean churn?"),
        (["score", "churn:9"], b"", "no version '9'"),
        (["score", "../churn"], b"", "letters"),
        (["score", "churn", "none.json"], b"", "none.json"),
        (["score", "churn", "-"], b"{", "not JSON"),
        (["score", "churn", "-"], b"\xff", "not JSON"),
        (["score", CLAIM, "-"], b'{"txt": "x"}', 'column "text"'),
        (["score", CLAIM, "-"], b'{"data": [], "outputs": ["lable"]}', "label"),
        (["score"], b"", "NAME"),
        (["scoore"], b"", "scoore"),
        (["serve", "--port", "1"], b"", "--port"),
    ],
)
def test_an_error_ends_it_with_the_reason(
    tmp_path: Path, arguments: list[str], stdin: bytes, reason: str
) -> None:
    done = run(tmp_path, *arguments, stdin=stdin)
    assert done.returncode == 2
    assert reason in done.stderr.decode()
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr
