"""Fixtures for all tests: real models, made once."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.models import CONTRACT_MODELS

# A slow machine is no fault. CI tries the same examples each time, people try new ones.
settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """What a model is -> its folder, for every model of `CONTRACT_MODELS`; read only."""
    root = tmp_path_factory.mktemp("models")
    return {name: make(root / name) for name, make in CONTRACT_MODELS.items()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where all parts must be there (CI), a test that was skipped has failed."""
    report = yield
    if report.skipped and os.environ.get("AML_SERVE_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
    return report
