"""Models that mlflow has saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mlflow_models import save_with_mlflow


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every model of `mlflow_models.SAVED`; read only."""
    return save_with_mlflow(tmp_path_factory.mktemp("mlflow"))
