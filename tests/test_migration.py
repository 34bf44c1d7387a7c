"""docs/migration.md: its commands run on a folder, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.settings import Settings
from app.settings.azure import AzureSettings, InsightsSettings
from tests.scenario import BLOCKS, PAGE, Scenario
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


def test_every_variable_that_it_names_exists() -> None:
    ours = {f"SERVE_{name.upper()}" for name in Settings.model_fields}
    theirs = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", _docs(AzureSettings, InsightsSettings)))
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", PAGE)) - {"TEST_MESSAGE"}

    assert named - ours - theirs == set()


def test_every_command_and_option_that_it_names_exists(tmp_path: Path) -> None:
    commands = re.findall(r"aml-serve ((?:models )?[a-z]+)([^`\n]*)", PAGE)
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
