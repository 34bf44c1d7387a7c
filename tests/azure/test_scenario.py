"""What docs/migration.md promises, in an Azure ML workspace and in a registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.azure.control_plane import CONTAINER, REGISTRY, WORKSPACE
from tests.azure.fixtures import OLDER, Azure
from tests.scenario import BLOCKS, Scenario

OF_REGISTRY = {**OLDER, "SERVE_REGISTRY": f"azureml://registries/{REGISTRY}", "SERVE_TRUST": "all"}


@pytest.mark.parametrize("identity", [{**OLDER, "SERVE_REGISTRY": ""}, OF_REGISTRY])
def test_the_churn_scenario_is_played_to_its_end(
    azure: Azure, tmp_path: Path, identity: dict[str, str]
) -> None:
    azure.storage.container(CONTAINER)
    with Scenario(tmp_path, {**azure.environment(), **identity}) as scenario:
        for block in BLOCKS[:3]:
            scenario.play(block)


def test_the_older_template_needs_no_change(azure: Azure, tmp_path: Path) -> None:
    azure.storage.container(CONTAINER)
    with Scenario(tmp_path, {**azure.environment(), **OLDER, "SERVE_REGISTRY": ""}) as scenario:
        scenario.play(BLOCKS[3])
        assert scenario.server is not None
        told = scenario.server.get("/healthcheck").json()

    workspace = json.loads(told["WorkspaceDetails"])
    assert told["HealthStatus"] == "Okay"
    assert set(workspace) == {"id", "name", "location"}
    assert workspace["name"] == WORKSPACE
