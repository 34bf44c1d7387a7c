"""Fixtures for all tests: real models, made once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.models import CONTRACT_MODELS


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """What a model is -> its folder, for every model of `CONTRACT_MODELS`; read only."""
    root = tmp_path_factory.mktemp("models")
    return {name: make(root / name) for name, make in CONTRACT_MODELS.items()}
