"""What is imported when it is needed, and what is said where it is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app import runtimes
from app.errors import ModelInvalid
from app.imports import NotInstalled, imported
from app.manifest import read
from tests.server import SAMPLES


def test_what_a_table_names_is_imported() -> None:
    assert imported("pathlib:Path", "a test") is Path


def test_a_package_that_is_not_here_is_named_with_what_needs_it() -> None:
    with pytest.raises(NotInstalled, match="a test needs no_such_package, which is not"):
        imported("no_such_package.inside:Thing", "a test")


def test_a_fault_of_our_own_is_not_taken_for_a_package_that_is_not_here() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        imported("app.no_such_module:Thing", "a test")


def test_a_model_whose_runtime_is_not_here_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("app.runtimes.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ModelInvalid, match="a model of the runtime sklearn needs joblib"):
        runtimes.prepare(read(SAMPLES / "churn/2"))
