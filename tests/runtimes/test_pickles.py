"""Files of joblib and pickle: whole, compressed, cut short, of other versions, of missing code."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.base
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from app.errors import ModelInvalid
from tests import models
from tests.models import KINDS, ROWS


class Picky:
    """Cannot take its own state back."""

    kind = 1

    def __getstate__(self) -> dict[str, int]:
        return {"kind": 1}

    def __setstate__(self, state: Any) -> None:
        raise AttributeError("no attribute 'tree' in /secret/place")


@pytest.mark.parametrize("suffix", ["joblib", "pkl", "pickle"])
@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("lzma", 3), ("bz2", 3)])
def test_joblib_files_of_any_compression_are_read(
    tmp_path: Path, suffix: str, compress: Any
) -> None:
    joblib.dump(models.classifier(), tmp_path / f"model.{suffix}", compress=compress)

    assert models.result(tmp_path, ROWS.tolist()).tolist() == KINDS.tolist()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_any_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    models.save(tmp_path, "model.pkl", pickle.dumps(models.classifier(), protocol))

    assert models.result(tmp_path, ROWS.tolist()).tolist() == KINDS.tolist()


PICKLE = pickle.dumps(models.classifier())
BAD = {
    "empty": (b"", r"cannot be unpickled \(EOFError\): is it complete\?"),
    "cut short": (PICKLE[:-30], r"cannot be unpickled \(\w+\): is it complete\?"),
    "half": (PICKLE[: len(PICKLE) // 2], r"cannot be unpickled \(\w+\): is it complete\?"),
    "a text": (b"this is no pickle", r"cannot be unpickled \(\w+\)"),
    "a dict": (pickle.dumps({"model": None}), "holds a dict, not a model"),
    "a transformer": (pickle.dumps(PCA(1).fit(ROWS)), "holds a PCA, not a model"),
    "unfitted": (pickle.dumps(LogisticRegression()), r"LogisticRegression takes .*is it fitted\?"),
    "one that exits": (b"csys\nexit\n(I3\ntR.", r"cannot be unpickled \(SystemExit\)"),
    "one that fails": (pickle.dumps(Picky()), r"cannot be unpickled \(AttributeError\)"),
    "a missing package": (b"cnowhere.models\nThing\n(tR.", "needs the module 'nowhere'"),
    "a missing module": (b"csklearn.gone\nThing\n(tR.", r"needs the module 'sklearn\.gone'"),
    "a missing class": (
        b"csklearn.linear_model\nThing\n(tR.",
        r"needs 'Thing' of the module 'sklearn\.linear_model'",
    ),
}


@pytest.mark.parametrize(("content", "told"), BAD.values(), ids=BAD)
def test_a_file_that_holds_no_model_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, told: str
) -> None:
    models.save(tmp_path, "model.pkl", content)

    with pytest.raises(ModelInvalid, match=told) as caught:
        models.load(tmp_path)

    assert "/" not in str(caught.value)


def test_a_class_of_a_training_script_is_named_with_what_to_do(tmp_path: Path) -> None:
    script = (
        "import pickle, sys\n"
        "class MyModel:\n"
        "    def predict(self, rows): return rows\n"
        "pickle.dump(MyModel(), open(sys.argv[1], 'wb'))\n"
    )
    target = tmp_path / "model.pkl"
    subprocess.run([sys.executable, "-c", script, target], check=True)

    told = (
        r"model\.pkl needs 'MyModel' of the module '(pytest\.)?__main__', which is not there; "
        "define it in a package that is installed where the model is served"
    )
    with pytest.raises(ModelInvalid, match=told):
        models.load(tmp_path)


def saved_by(version: str, folder: Path, monkeypatch: pytest.MonkeyPatch, ending: bytes) -> Path:
    """A pipeline of three estimators, each of which notes the version."""
    steps = sklearn.pipeline.make_pipeline(StandardScaler(), LogisticRegression())
    with monkeypatch.context() as patched:
        patched.setattr(sklearn.base, "__version__", version)
        content = pickle.dumps(steps.fit(ROWS, KINDS))
    return models.save(folder, "model.pkl", content[: -len(ending)] + ending)


def test_another_version_of_scikit_learn_is_warned_of_once_with_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = saved_by("1.2.3", tmp_path, monkeypatch, ending=b".")
    models.save(folder, "requirements.txt", b"scikit-learn==1.2.3\nnumpy==1.2\n")

    models.load(folder)

    here = sklearn.__version__
    assert caplog.messages == [
        f"model.pkl was saved by scikit-learn 1.2.3 and is served by {here}",
        f"model.pkl was trained with numpy 1.2, here is {np.__version__}",
    ]


def test_a_file_of_another_version_that_cannot_be_read_is_refused_with_both_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_by("1.2.3", tmp_path, monkeypatch, ending=b"\xff")

    with pytest.raises(ModelInvalid, match=r"it was saved by scikit-learn 1\.2\.3 and is served"):
        models.load(folder)


@pytest.mark.parametrize(
    ("requirements", "told"),
    [
        (f"scikit-learn=={sklearn.__version__}\nnumpy=={np.__version__}\n", []),
        ("scikit-learn==0.24.2", ["scikit-learn 0.24.2"]),
        ("Scikit_Learn == 0.24.2 # comment\npandas[parquet]==1.0 ; python_version > '3'\n", None),
        ("scikit-learn>=0.24\nnumpy\npandas~=1.0\n-r other.txt\nnumpy==1.*\n", []),
        ("unknown==1\n\xff\n", []),
    ],
)
def test_other_packages_than_at_training_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, requirements: str, told: list[str] | None
) -> None:
    folder = models.save_sklearn(tmp_path, models.classifier())
    models.save(folder, "requirements.txt", requirements.encode("latin-1"))

    models.load(folder)

    told = ["scikit-learn 0.24.2", "pandas 1.0"] if told is None else told
    versions = {"scikit-learn": sklearn.__version__, "pandas": pd.__version__}
    assert caplog.messages == [
        f"model.joblib was trained with {what}, here is {versions[what.split()[0]]}"
        for what in told
    ]
    assert logging.WARNING in {r.levelno for r in caplog.records} or not told


def test_warnings_of_the_process_are_as_before_after_a_load(tmp_path: Path) -> None:
    filters = list(warnings.filters)

    models.load(models.save_sklearn(tmp_path, models.classifier()))

    assert list(warnings.filters) == filters
