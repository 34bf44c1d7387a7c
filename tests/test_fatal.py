"""What processes that end by a fatal signal leave behind, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fatal import Death, Witness, told_apart
from tests.server import ROOT

DIGEST, OTHER = "ab" * 32, "cd" * 32

DIES = f"""
import ctypes, os, pathlib, signal, sys, threading, time
from app.fatal import Witness, told_apart
folder, how, place = sys.argv[1:]
witness = Witness(pathlib.Path(folder)); witness.open()
inside = threading.Barrier(3)
def die(_, number):
    inside.wait()
    signal.raise_signal(number)
def stay(*_):
    inside.wait()
    time.sleep(60)
number = getattr(signal, how, None)
if number is None:
    witness.close()
    os.kill(os.getpid(), signal.SIGSEGV)
model, other = told_apart(die, "{DIGEST}"), told_apart(stay, "{OTHER}")
threading.Thread(target=other, args=(0, 0), daemon=True).start()
if place == "model":
    threading.Thread(target=model, args=(0, number), daemon=True).start()
    inside.wait()
    time.sleep(60)
threading.Thread(target=told_apart(stay, "{DIGEST}"), args=(0, 0), daemon=True).start()
if place == "load":
    die(0, number)
inside.wait()
libc = ctypes.CDLL(None)
abort = ctypes.cast(libc.abort, ctypes.c_void_p)
libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, abort, None)
time.sleep(60)
"""


def deaths(folder: Path, how: str, place: str = "model", **environment: str) -> list[Death]:
    """What is told of a process that ended so, with one thread in each of two models."""
    command = [sys.executable, "-c", DIES, str(folder), how, place]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, timeout=30
    )
    assert ended.returncode < 0, ended.stderr
    return list(Witness(folder).deaths())


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("SIGSEGV", "Segmentation fault"),
        ("SIGABRT", "Aborted"),
        ("SIGBUS", "Bus error"),
        ("SIGFPE", "Floating point exception"),
        ("SIGILL", "Illegal instruction"),
    ],
)
def test_a_fatal_signal_is_told_with_the_model_whose_thread_it_came_from(
    tmp_path: Path, how: str, reason: str
) -> None:
    (death,) = deaths(tmp_path, how)

    assert (death.reason, death.digests) == (reason, (DIGEST,))
    assert "in die" in death.stack
    assert "in stay" not in death.stack
    assert list(Witness(tmp_path).deaths()) == []


def test_what_crashes_beside_models_is_not_theirs(tmp_path: Path) -> None:
    (death,) = deaths(tmp_path, "SIGSEGV", "load")

    assert "in die" in death.stack
    assert death.digests == ()


def test_what_a_thread_of_a_library_does_may_be_of_any_that_was_inside(tmp_path: Path) -> None:
    (death,) = deaths(tmp_path, "SIGABRT", "library")

    assert (death.reason, death.stack) == ("Aborted", "")
    assert {*death.digests} == {DIGEST, OTHER}


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "closed"])
def test_what_was_ended_by_others_or_on_purpose_is_nobodys_fault(tmp_path: Path, how: str) -> None:
    assert deaths(tmp_path, how) == []
    assert list(tmp_path.iterdir()) == []


def test_where_somebody_else_is_told_already_he_stays_the_one(tmp_path: Path) -> None:
    assert deaths(tmp_path, "SIGSEGV", PYTHONFAULTHANDLER="1") == []


def test_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys; from app.fatal import Witness; "
        "Witness(pathlib.Path(sys.argv[1])).open(); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        assert list(Witness(tmp_path).deaths()) == []
        assert len(list(tmp_path.iterdir())) == 1
    list(Witness(tmp_path).deaths())
    assert list(tmp_path.iterdir()) == []


@given(st.text())
def test_whatever_was_written_is_read(text: str) -> None:
    assert Death.told(text).digests == ()


def test_what_is_told_apart_is_called_as_before() -> None:
    assert told_apart(divmod, DIGEST)(7, 2) == (3, 1)
