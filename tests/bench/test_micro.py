"""Counts of instructions beside those known."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import micro
from tests.server import ROOT

Count = Callable[..., int]
KNOWN = {"ids": 1000, "decode": 20_000}


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Count:
    """Compares these counts with `KNOWN`, taken with the versions given or those here."""

    def compare(*, write: bool = False, python: str | None = None, **counts: int) -> int:
        versions = micro._versions() | ({"python": python} if python else {})
        (tmp_path / "known").write_text(json.dumps({"versions": versions, "instructions": KNOWN}))
        monkeypatch.setattr(micro, "PHASES", counts)
        monkeypatch.setattr(micro, "instructions", counts.__getitem__)
        return micro.compare(write=write)

    monkeypatch.setattr(micro, "KNOWN", tmp_path / "known")
    return compare


@pytest.mark.parametrize(
    ("ids", "decode", "grown"),
    [(1000, 20_000, 0), (1029, 20_599, 0), (1, 1, 0), (1031, 20_000, 1), (1031, 20_601, 2)],
)
def test_a_phase_that_grew_by_more_than_three_hundredths_is_counted(
    compared: Count, ids: int, decode: int, grown: int
) -> None:
    assert compared(ids=ids, decode=decode) == grown


def test_a_change_is_told_beside_the_count(
    compared: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    compared(ids=1150, decode=19_000)
    first, second = capsys.readouterr().out.splitlines()

    assert first.split() == ["ids", "1,150", "instructions", "+15.0%"]
    assert second.split() == ["decode", "19,000", "instructions", "-5.0%"]


def test_counts_of_other_versions_are_not_compared(
    compared: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(ids=9999, decode=9999, python="2.7.18") == 0
    assert "not compared" in capsys.readouterr().out


def test_a_phase_that_nobody_counted_before_passes(compared: Count) -> None:
    assert compared(ids=1000, encode=9999) == 0


@pytest.mark.parametrize("python", [None, "2.7.18"])
def test_counts_are_written_when_asked(compared: Count, python: str | None) -> None:
    assert compared(ids=9999, write=True, python=python) == 0

    known = {"versions": micro._versions(), "instructions": {"ids": 9999}}
    assert json.loads(micro.KNOWN.read_text()) == known


def test_the_first_counts_have_nothing_to_be_compared_with(
    compared: Count, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(micro, "KNOWN", tmp_path / "none")

    assert compared(ids=9999, decode=1) == 0


@pytest.mark.parametrize(("ids", "code"), [(1000, 0), (1200, 1)])
def test_the_exit_code_tells_growth(
    compared: Count, monkeypatch: pytest.MonkeyPatch, ids: int, code: int
) -> None:
    compared(ids=ids, decode=30_000 if code else 1)  # two have grown, and 2 is no exit code
    monkeypatch.setattr(sys, "argv", ["micro", "--instructions"])

    with pytest.raises(SystemExit, match=f"^{code}$"):
        micro.main()


def test_a_phase_is_run_for_valgrind_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "bench.micro", "--run", "ids"]
    assert subprocess.run(command, cwd=ROOT, timeout=60).returncode == 0
