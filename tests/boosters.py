"""Boosters trained in milliseconds, saved by their own libraries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

NUMBERS = np.random.default_rng(0).random((60, 3))
FRAME = pd.DataFrame(NUMBERS, columns=["age", "income", "size"])
CITIES = np.where(NUMBERS[:, 1] > 0.4, "Bern", "Rome")
MIXED = FRAME.assign(
    city=pd.Categorical(CITIES),
    floor=pd.Categorical((NUMBERS[:, 2] * 3).astype(int)),
)
"""With a category of texts and one of numbers, as pandas has them."""
TARGETS: Mapping[str, Any] = {
    "binary": (NUMBERS[:, 0] + NUMBERS[:, 1] > 1).astype(int),
    "classes": (NUMBERS[:, 0] * 3).astype(int),
    "values": NUMBERS.sum(axis=1),
}


def library(name: str) -> Any:
    """The module, or a skip of the test."""
    return pytest.importorskip(name, reason=f"{name} is not installed (the extra boosters)")


def lightgbm(task: str, rows: Any = NUMBERS, **more: Any) -> Any:
    """An estimator of LightGBM's own."""
    lgb = library("lightgbm")
    made = lgb.LGBMRegressor if task == "values" else lgb.LGBMClassifier
    options = {"min_child_samples": 2, "min_data_per_group": 1, "cat_smooth": 0, "verbose": -1}
    return made(n_estimators=4, **options, **more).fit(rows, TARGETS[task])


def xgboost(task: str, rows: Any = NUMBERS, **more: Any) -> Any:
    """An estimator of XGBoost's own."""
    xgb = library("xgboost")
    made = xgb.XGBRegressor if task == "values" else xgb.XGBClassifier
    return made(n_estimators=4, nthread=1, **more).fit(rows, TARGETS[task])


def catboost(task: str, rows: Any = NUMBERS, target: Any = None, **more: Any) -> Any:
    """An estimator of CatBoost's own."""
    cb = library("catboost")
    made = cb.CatBoostRegressor if task == "values" else cb.CatBoostClassifier
    quiet = {"verbose": False, "allow_writing_files": False, "thread_count": 1}
    target = TARGETS[task] if target is None else target
    return made(iterations=4, depth=3, **quiet, **more).fit(rows, target)


def save(folder: Path, name: str, estimator: Any) -> Path:
    """The model of `estimator` as `folder`/`name`, in its library's own format."""
    folder.mkdir(parents=True, exist_ok=True)
    own = estimator.booster_ if name.endswith(".txt") else estimator
    own.save_model(str(folder / name))
    return folder
