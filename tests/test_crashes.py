"""Models that end the process: noted, counted, acquitted, set aside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from app.crashes import Crashes, Untried
from app.errors import ModelInvalid, ModelUnavailable
from app.tensors import Batch, Prediction
from tests.server import ROOT
from tests.serving import Held, batch_of, serving, write_model
from tests.test_pool import load, ref

DIGEST, OTHER = "ab" * 32, "cd" * 32

DIES = """
import os, pathlib, signal, sys
from app.crashes import Crashes
crashes = Crashes(pathlib.Path(sys.argv[1])); crashes.open()
others = [crashes.noted(digest, "m:1") for digest in sys.argv[3:-1]]
for other in others:
    other.__enter__()
try:
    with crashes.loading(sys.argv[-1], "m:1"):
        if sys.argv[2] == "raise": raise KeyError
        if sys.argv[2] == "exit": crashes.close()
        os.kill(os.getpid(), getattr(signal, sys.argv[2], signal.SIGKILL))
except KeyError: pass
"""


def die(folder: Path, how: str, *digests: str) -> None:
    """A process that loads so many models, and dies of the last one."""
    command = [sys.executable, "-c", DIES, str(folder), how, *digests]
    subprocess.run(command, cwd=ROOT, check=False, capture_output=True)


def crashes_in(folder: Path) -> Crashes:
    """Those of a process that begins now."""
    crashes = Crashes(folder)
    crashes.open()
    return crashes


def counted(folder: Path) -> dict[str, int]:
    crashes_in(folder)
    counts = (folder / "crashes").glob("[!.]*")
    return {path.name: int(path.read_text()) for path in counts}


@pytest.mark.parametrize("how", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_what_ends_the_process_three_times_is_refused_with_how_to_have_it_tried_again(
    tmp_path: Path, how: str
) -> None:
    for count in (1, 2, 3):
        crashes_in(tmp_path).refuse(DIGEST)
        die(tmp_path, how, DIGEST)
        assert counted(tmp_path) == {DIGEST: count}
    crashes = crashes_in(tmp_path)

    with pytest.raises(ModelInvalid, match="ended the process 3 times while it was loaded, and is"):
        crashes.refuse(DIGEST)
    with pytest.raises(ModelInvalid, match=f"remove the file crashes/{DIGEST} from the folder of"):
        crashes.refuse(DIGEST)
    crashes.refuse(OTHER)
    (tmp_path / "crashes" / DIGEST).unlink()
    crashes.refuse(DIGEST)


PREDICTS = """
import ctypes, pathlib, sys
from app.crashes import Crashes, Attributed
class Model:
    signature = is_steady = None
    def predict(self, batch, outputs): ctypes.string_at(0)
crashes = Crashes(pathlib.Path(sys.argv[1])); crashes.open(); crashes.watch()
Attributed(Model(), sys.argv[2]).predict(None, ())
"""


def die_predicting(folder: Path, digest: str) -> None:
    command = [sys.executable, "-c", PREDICTS, str(folder), digest]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGSEGV, ended.stderr


def test_what_ends_the_process_three_times_in_an_hour_while_it_predicts_is_refused_for_an_hour(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        crashes_in(tmp_path).refuse(DIGEST)
        die_predicting(tmp_path, DIGEST)
    crashes = crashes_in(tmp_path)

    with pytest.raises(ModelInvalid, match=r"3 times in an hour while it predicted.* aside until "):
        crashes.refuse(DIGEST)
    with pytest.raises(ModelInvalid, match=rf"remove the file crashes/{DIGEST}\.predicting from"):
        crashes.refuse(DIGEST)
    crashes.refuse(OTHER)
    assert "the process was ended (Segmentation fault)\nCurrent thread" in caplog.text
    assert f"whose digest is {DIGEST} (time 3 of 3 in an hour)" in caplog.text
    file = tmp_path / "crashes" / f"{DIGEST}.predicting"
    first, *others = file.read_text().split()
    file.write_text("\n".join([str(float(first) - 3600), *others]))
    crashes.refuse(DIGEST)


def test_a_load_that_succeeds_says_nothing_of_later_predictions(tmp_path: Path) -> None:
    for _ in range(3):
        die_predicting(tmp_path, DIGEST)
        crashes_in(tmp_path).forget(DIGEST)

    with pytest.raises(ModelInvalid, match="while it predicted"):
        crashes_in(tmp_path).refuse(DIGEST)


@pytest.mark.parametrize("text", ["", "nonsense", "nan\n" * 3, "1e400\n" * 3, "\udcff"])
def test_times_that_cannot_be_read_set_nothing_aside(tmp_path: Path, text: str) -> None:
    crashes = crashes_in(tmp_path)
    file = tmp_path / "crashes" / f"{DIGEST}.predicting"
    file.write_bytes(os.fsencode(text))
    crashes.refuse(DIGEST)

    die_predicting(tmp_path, DIGEST)
    crashes_in(tmp_path).refuse(DIGEST)
    assert len(file.read_text().split()) == 1


@pytest.mark.parametrize("how", ["raise", "exit"])
def test_a_load_that_fails_and_a_process_that_is_stopped_are_no_crash(
    tmp_path: Path, how: str
) -> None:
    die(tmp_path, how, DIGEST)

    assert counted(tmp_path) == {}
    assert [path.name for path in (tmp_path / "loading").iterdir()] == [".lock"]


def test_a_load_of_a_process_that_lives_is_no_crash(tmp_path: Path) -> None:
    with crashes_in(tmp_path).loading(DIGEST, "m:1"):
        assert counted(tmp_path) == {}


def test_one_death_is_counted_once_by_however_many_begin(tmp_path: Path) -> None:
    die(tmp_path, "SIGKILL", OTHER, DIGEST)
    threads = [threading.Thread(target=crashes_in, args=[tmp_path]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counted(tmp_path) == {DIGEST: 1, OTHER: 1}


def test_a_model_that_works_is_acquitted(tmp_path: Path) -> None:
    die(tmp_path, "SIGKILL", OTHER, DIGEST)
    crashes_in(tmp_path).forget(OTHER)

    assert counted(tmp_path) == {DIGEST: 1}


def test_a_suspect_is_loaded_when_nothing_else_is(tmp_path: Path) -> None:
    die(tmp_path, "SIGKILL", DIGEST)
    crashes = crashes_in(tmp_path)
    told: list[str] = []

    def enter(digest: str, leave: threading.Event) -> threading.Thread:
        def run() -> None:
            with crashes.loading(digest, "m:1"):
                told.append(digest)
                entered.release()
                assert leave.wait(30)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    entered, first, second = threading.Semaphore(0), threading.Event(), threading.Event()
    threads = [enter(OTHER, first), enter(OTHER, first)]
    assert entered.acquire(timeout=30)
    assert entered.acquire(timeout=30)
    threads.append(enter(DIGEST, second))
    while not crashes._waiting:
        pass
    threads.append(enter(OTHER, second))
    assert told == [OTHER, OTHER]
    first.set()
    assert entered.acquire(timeout=30)
    assert told == [OTHER, OTHER, DIGEST]
    second.set()
    for thread in threads:
        thread.join(30)
    assert told == [OTHER, OTHER, DIGEST, OTHER]


def test_a_suspect_that_ended_another_process_meanwhile_is_not_loaded(tmp_path: Path) -> None:
    for _ in range(2):
        die(tmp_path, "SIGSEGV", DIGEST)
        crashes = crashes_in(tmp_path)
    crashes.refuse(DIGEST)
    die(tmp_path, "SIGSEGV", DIGEST)  # which nobody has counted yet

    with pytest.raises(ModelInvalid, match="3 times"), crashes.loading(DIGEST, "m:1"):
        raise AssertionError


@pytest.mark.parametrize("what", ["loading", "crashes"])
def test_where_no_note_can_be_left_models_are_loaded_all_the_same(
    tmp_path: Path, what: str
) -> None:
    (tmp_path / what).touch()
    crashes = crashes_in(tmp_path)

    with crashes.loading(DIGEST, "m:1"):
        crashes.forget(DIGEST)
    crashes.refuse(DIGEST)
    assert (tmp_path / what).read_bytes() == b""


@pytest.mark.parametrize("text", ["", "nonsense", f"../../{DIGEST} m:1 of process 3", "\udcff"])
def test_a_note_that_cannot_be_read_is_removed_and_counts_for_nothing(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "loading").mkdir()
    (tmp_path / "loading" / "note").write_bytes(os.fsencode(text))

    assert counted(tmp_path) == {}
    assert not (tmp_path / "loading" / "note").exists()


async def test_of_a_model_without_a_check_calls_are_noted_until_the_first_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die(tmp_path, "SIGKILL", DIGEST)
    crashes, model = crashes_in(tmp_path), Held()
    untried = Untried(model, crashes, DIGEST, "m:1")

    def notes() -> int:
        return len([path for path in (tmp_path / "loading").iterdir() if path.name != ".lock"])

    found: list[int] = []
    real = model.predict

    def predict(batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        found.append(notes())
        return real(batch, outputs)

    monkeypatch.setattr(model, "predict", predict)
    with pytest.raises(ValueError, match="13"):
        untried.predict(batch_of(13.0), ("y",))
    for _ in range(2):
        assert untried.predict(batch_of(1.0), ("y",))["y"] == np.array([2.0])

    assert found == [1, 1, 0]
    assert counted(tmp_path) == {}


async def test_the_pool_refuses_what_is_set_aside_and_acquits_what_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, monkeypatch) as parts:
        for name in "ab":
            write_model(parts.folder, name, size=len(name) + ord(name))
        digests = {name: (await load(parts.pool(), parts, name)).digest for name in "ab"}
        for _ in range(2):
            die(tmp_path / "cache", "SIGSEGV", digests["b"], digests["a"])
        die(tmp_path / "cache", "SIGSEGV", digests["a"])
        pool = parts.pool()

        with pytest.raises(ModelUnavailable, match="ended the process 3 times"):
            await load(pool, parts, "a")
        assert (await load(pool, parts, "b")).ref == ref("b")
        assert counted(tmp_path / "cache") == {digests["a"]: 3}
