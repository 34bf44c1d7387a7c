"""Fixtures for all tests: real models, made once."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.azure.fixtures import azure, running
from tests.cgroups import NOT_OF_THIS_KERNEL
from tests.models import CONTRACT_MODELS

__all__ = ["azure", "model_folders", "running"]

# A slow machine is no fault. CI tries the same examples each time, people try new ones.
settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
settings.load_profile("tests")


class Folders(Mapping[str, Path]):
    """A model's folder by what it is, made when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[str, Path] = {}

    def __getitem__(self, name: str) -> Path:
        if name not in self._made:
            self._made[name] = CONTRACT_MODELS[name](self._root / name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(CONTRACT_MODELS)

    def __len__(self) -> int:
        return len(CONTRACT_MODELS)


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """What a model is -> its folder, for every model of `CONTRACT_MODELS`; read only."""
    return Folders(tmp_path_factory.mktemp("models"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where all parts must be there (CI), a test that was skipped has failed; save for what no
    installation brings.
    """
    report = yield
    is_of_kernel = NOT_OF_THIS_KERNEL in str(report.longrepr)
    if report.skipped and not is_of_kernel and os.environ.get("AML_SERVE_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, where nothing may be: {report.longrepr}"
    return report
