"""The pins of the peers."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bench import environments, peers
from bench.peers import TABLE

PINS = """\
# by uv
annotated-types==0.7.0
mlserver-sklearn==1.7.1
nvidia-pytriton==0.7.0
ruamel.yaml==0.18.6
    # via something==1.0
torch==2.1.0+cpu
"""


def test_pins_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(PINS)

    assert environments.pins(tmp_path) == {
        "annotated-types": "0.7.0",
        "mlserver-sklearn": "1.7.1",
        "nvidia-pytriton": "0.7.0",
        "ruamel.yaml": "0.18.6",
        "torch": "2.1.0+cpu",
    }


def test_without_pins_they_are_those_of_this_environment(tmp_path: Path) -> None:
    import numpy as np

    assert environments.pins(tmp_path)["numpy"] == np.__version__
    assert environments.python(tmp_path) == Path(sys.executable)


@pytest.mark.parametrize("name", TABLE)
def test_each_line_of_a_peer_is_a_pin_and_its_package_is_one(name: str) -> None:
    pins = environments.pins(peers.folder(name))
    stated = peers.folder(name) / "requirements.txt"
    lines = stated.read_text().splitlines() if stated.is_file() else []

    assert [line for line in lines if line.partition("==")[0] not in pins] == []
    assert peers.get(name).package in {None, *pins}


@pytest.mark.parametrize("name", [n for n in TABLE if n not in ("aml-serve", "floor")])
def test_a_peer_runs_the_model_with_the_libraries_of_the_project(name: str) -> None:
    """But for those that its own requirements.in bounds, as the README says."""
    folder = peers.folder(name)
    pins, own = environments.pins(folder), (folder / "requirements.in").read_text().split()
    bounded = {re.split(r"\W*[<=>\[]", line)[0] for line in own}
    here = environments.pins(Path("/nowhere"))

    for library in set(environments.MODEL_LIBRARIES) - bounded:
        assert pins[library] == here[library]


def test_an_environment_that_cannot_be_made_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("a b c\n")
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'no such\n  package' >&2; exit 2\n")
    uv.chmod(0o755)
    monkeypatch.setattr(environments, "UV", uv)
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "made")

    with pytest.raises(environments.NotInstalled, match="not installed: no such package"):
        environments.python(tmp_path)


def test_an_environment_is_made_once_for_its_pins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv, pins = tmp_path / "uv", tmp_path / "requirements.txt"
    uv.write_text(f'#!/bin/sh\necho "$2" >> {tmp_path}/asked\n[ "$2" != venv ] || mkdir -p "$5"\n')
    uv.chmod(0o755)
    monkeypatch.setattr(environments, "UV", uv)
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "made")
    found = []
    for text in ("a==1\n", "a==1\n", "a==2\n"):
        pins.write_text(text)
        found.append(environments.python(tmp_path))

    assert found[0] == found[1] != found[2]
    assert (tmp_path / "asked").read_text().split() == ["venv", "pip"] * 2
    assert not found[0].parents[1].exists()  # of old pins
