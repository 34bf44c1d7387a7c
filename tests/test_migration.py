"""docs/migration.md: its commands run on a folder, and what it names exists."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from threading import Event

import pytest
import requests

from app.settings import Settings
from app.settings.azure import AzureSettings, InsightsSettings
from tests.scenario import BLOCKS, CUSTOMER, PAGE, SCRIPT, Scenario
from tests.server import ROOT, run


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return Scenario(tmp_path, {"SERVE_REGISTRY": f"file://{tmp_path}/models"})


def test_the_churn_scenario_is_played_to_its_end_without_azure(scenario: Scenario) -> None:
    with scenario:
        for block in BLOCKS[:3]:
            scenario.play(block)


def test_the_older_client_is_answered_without_azure(scenario: Scenario) -> None:
    with scenario:
        scenario.play(BLOCKS[3])


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Naive Bayes and the tree, trained now, each in a folder with the script of the page."""
    shutil.copy(ROOT / "sample_model/train_churn.py", tmp_path)
    subprocess.run([sys.executable, tmp_path / "train_churn.py"], check=True, capture_output=True)
    for name, version in (("naive_bayes", "1"), ("decision_tree", "2")):
        (tmp_path / name).mkdir()
        shutil.copy(tmp_path / "churn" / version / "model.joblib", tmp_path / name)
        (tmp_path / name / "score.py").write_text(SCRIPT)
    return tmp_path


def test_the_churn_scenario_is_played_to_its_end_with_scoring_scripts(
    scenario: Scenario, trained: Path
) -> None:
    register, compare, switch = (
        block.replace("models register ", f"models register {trained}/") for block in BLOCKS[4:]
    )
    with scenario, ThreadPoolExecutor(1) as pool:
        scenario.play(register)
        scenario.play(compare)
        assert scenario.server is not None
        is_over, url = Event(), f"{scenario.server.url}/score/churn"
        answers = pool.submit(_asked_until, is_over, url)
        try:
            scenario.play(switch)
        finally:
            is_over.set()

    assert {status for status, _ in answers.result()} == {200}
    assert [version for version, _ in groupby(v for _, v in answers.result())] == ["1", "2", "1"]


def _asked_until(is_over: Event, url: str) -> list[tuple[int, str]]:
    """Status and version of the answers to a client that never pauses."""
    answers = []
    with requests.Session() as session:
        while not is_over.is_set():
            answer = session.post(url, data=CUSTOMER, timeout=30)
            answers.append((answer.status_code, answer.headers["x-model-version"]))
    return answers


def test_every_variable_that_it_names_exists() -> None:
    ours = {f"SERVE_{name.upper()}" for name in Settings.model_fields}
    told = _docs(AzureSettings, InsightsSettings) + (ROOT / "app/settings/dropin.py").read_text()
    theirs = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", told))
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", PAGE)) - {"TEST_MESSAGE", "AZUREML_MODEL_DIR"}

    assert named - ours - theirs == set()


def test_every_command_and_option_that_it_names_exists(tmp_path: Path) -> None:
    commands = re.findall(r"aml-serve ((?:models |manifest )?[a-z]+)([^`\n]*)", PAGE)
    helps = {command: run(tmp_path, *command.split(), "--help") for command, _ in commands}

    for command, rest in commands:
        told = helps[command]
        assert told.returncode == 0, command
        for option in re.findall(r"--[a-z]+", rest):
            assert option in told.stdout.decode(), (command, option)


def test_every_error_code_that_it_names_is_documented() -> None:
    documented = (ROOT / "docs/errors.md").read_text()
    codes = re.findall(r"\b50\d `([a-z-]+)`", PAGE)

    assert len(codes) == 3
    assert [code for code in codes if f"`{code}`" not in documented] == []


def _docs(*settings: type) -> str:
    """Where the fields of `settings` name their variables."""
    return "".join(
        (ROOT / "app/settings/azure.py").read_text().partition(f"class {each.__name__}")[2]
        for each in settings
    )
