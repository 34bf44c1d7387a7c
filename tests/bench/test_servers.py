"""Servers that are started, checked and stopped; those that are not fit are told."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from bench import processes, servers
from bench.servers import Unfit
from tests.bench.served import KNOWN, a_peer, a_workload

WITH_A_CHILD = "import subprocess, sys; subprocess.Popen(['sleep', '60']);"
FLOOR = "import sys, uvicorn; uvicorn.run('bench.peers.floor.serve:app', port=int(sys.argv[1]))"


def test_a_server_that_answers_rightly_is_served_and_stopped(tmp_path: Path) -> None:
    with servers.serving("floor", a_workload(tmp_path)) as server:
        pid, scratch = server.process.pid, server.scratch
        answer = servers.ask(server.port, server.request)

        assert (answer.status, answer.body) == (200, b'{"results":[[0.25,0.75]]}')
        assert server.compared == 2
        assert 0 < server.first_answer_processor_s < 30
        assert 0 < server.first_answer_s < servers.START_S
        assert 5 < server.memory_mb() < 1000
    assert not Path(f"/proc/{pid}").exists()
    assert not scratch.exists()


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ([[0.5, 0.5001]], r"answers \[0.5, 0.5001\] where the model gives \[0.5, 0.5\]"),
        ([[0.5, None]], r"answers \[0.5, None\] where"),
        ([["0.5", "0.5"]], r"answers \['0.5', '0.5'\] where"),
        ([[True, True]], r"answers \[True, True\] where"),
        ([[0.5]], "answers 1 values where the model gives 2"),
        ({"scores": [0.5, 0.5]}, "answers 1 values where"),
        ([[0.5], [0.5, 0.5]], "answers in another form: {"),
    ],
)
def test_a_server_with_one_wrong_answer_is_unfit(tmp_path: Path, second: Any, told: str) -> None:
    workload = a_workload(tmp_path, answered=[KNOWN[0], second])

    with pytest.raises(Unfit, match=told), servers.serving("floor", workload):
        pytest.fail("it was served")


@pytest.mark.parametrize(
    ("label", "told"), [("no", r"answers \['no'\] where the model gives \['yes'\]"), (1, "answers")]
)
def test_a_wrong_label_is_unfit(tmp_path: Path, label: object, told: str) -> None:
    workload = a_workload(tmp_path, answered=[["yes"], [label]], known=[["yes"], ["yes"]])

    with pytest.raises(Unfit, match=told), servers.serving("floor", workload):
        pytest.fail("it was served")


def test_an_answer_within_the_tolerance_is_right(tmp_path: Path) -> None:
    workload = a_workload(tmp_path, answered=[KNOWN[0], [[0.50003, 0.49997]]])

    with servers.serving("floor", workload) as server:
        assert server.compared == 2


def test_a_server_that_ends_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = a_peer(monkeypatch, "import sys; print('first', flush=True); sys.exit('no such model')")

    with (
        pytest.raises(Unfit, match="ended with exit code 1: no such model"),
        servers.serving(name, a_workload(tmp_path)),
    ):
        pytest.fail("it was served")


def test_a_server_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "START_S", 0.3)
    name = a_peer(monkeypatch, "import time; print('thinking', flush=True); time.sleep(60)")

    with (
        pytest.raises(Unfit, match=r"no 200 within 0.3 s: no answer; (thinking|it said nothing)"),
        servers.serving(name, a_workload(tmp_path)),
    ):
        pytest.fail("it was served")


def test_a_server_that_cannot_be_prepared_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = ["sh", "-c", "echo cannot convert; exit 3"]
    name = a_peer(monkeypatch, "", prepare=lambda job: prepare)

    with (
        pytest.raises(Unfit, match="could not be prepared: cannot convert"),
        servers.serving(name, a_workload(tmp_path)),
    ):
        pytest.fail("it was served")


def test_a_server_ends_with_all_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ORPHANS_S", 0.1)
    name = a_peer(monkeypatch, WITH_A_CHILD + FLOOR)
    with servers.serving(name, a_workload(tmp_path)) as server:
        pids = processes.tree(server.process.pid)
    until = time.monotonic() + 5
    while any(map(processes._lives, pids)) and time.monotonic() < until:
        time.sleep(0.01)

    assert len(pids) == 2
    assert not any(map(processes._lives, pids))


def test_a_server_sees_little_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "seen")
    with servers.serving("floor", a_workload(tmp_path)) as server:
        seen = Path(f"/proc/{server.process.pid}/environ").read_bytes()

    assert b"AZURE_CLIENT_SECRET" not in seen
    assert b"OMP_NUM_THREADS=1" in seen


def test_a_server_has_a_processor_of_its_own(tmp_path: Path) -> None:
    with servers.serving("floor", a_workload(tmp_path)) as server:
        assert os.sched_getaffinity(server.process.pid) == {int(servers.SERVER_CORE)}
