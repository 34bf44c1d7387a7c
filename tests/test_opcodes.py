"""What a pickle would import, told without importing it."""

from __future__ import annotations

import io
import os
import pickle
import time
import zlib
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from app import opcodes
from tests import models
from tests.models import KINDS, ROWS


class Unpickler(pickle.Unpickler):
    """Writes down what it imports."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add(f"{module}.{name}")
        return super().find_class(module, name)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("echo bad",)


ARRAYS = [
    np.array(["a", None, 1.5], object),
    np.zeros((100, 3)),
    np.array(["a text", "b"]),
    np.zeros(2, [("a", "f8"), ("b", "i4")]),
    np.asfortranarray(np.eye(3)),
    np.array(["2020-01-01"], "M8[D]"),
    np.array([]),
]
OBJECTS: dict[str, Any] = {
    "classifier": models.classifier(),
    "pipeline": models.frame_classifier(),
    "texts": models.text_classifier(),
    "forest": RandomForestClassifier(5).fit(ROWS, KINDS),
    "arrays": [*ARRAYS, models.regressor()],
    "evil behind arrays": [*ARRAYS, Evil()],
}
COMPRESSIONS = [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)]


@pytest.fixture(params=OBJECTS)
def found(request: pytest.FixtureRequest) -> Any:
    return OBJECTS[request.param]


def imports_of(folder: Path, content: bytes) -> set[str]:
    models.save(folder, "model.pkl", content)
    return set(opcodes.imports(folder / "model.pkl"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_tells_what_an_unpickler_imports(tmp_path: Path, found: Any, protocol: int) -> None:
    content = pickle.dumps(found, protocol)
    unpickler = Unpickler(content)
    unpickler.load()

    assert imports_of(tmp_path, content) == unpickler.names


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_it_reads_past_the_arrays_that_joblib_writes_between(
    tmp_path: Path, found: Any, compress: Any, protocol: int
) -> None:
    file = tmp_path / "model.joblib"
    joblib.dump(found, file, compress=compress, protocol=protocol)

    unpickler = Unpickler(pickle.dumps(found, protocol))
    unpickler.load()
    of_arrays = "numpy.", "joblib.", "_codecs.", "__builtin__.bytes"
    wanted = {name for name in unpickler.names if not name.startswith(of_arrays)}
    assert {n for n in opcodes.imports(file) if not n.startswith(of_arrays)} == wanted


def test_what_is_unusual_is_told_first_and_again(tmp_path: Path) -> None:
    content = pickle.dumps([models.classifier(), Evil()])
    models.save(tmp_path, "model.pkl", content)

    told = opcodes.told(tmp_path / "model.pkl")

    assert told.startswith(f"it would import {os.system.__module__}.system, ")
    assert told.endswith("; not of numpy, scipy or scikit-learn: posix.system")
    assert "sklearn.linear_model._logistic.LogisticRegression" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (pickle.dumps(models.classifier()), "sklearn.linear_model._logistic.LogisticRegression"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "scikit-learn: builtins.eval"),
        (b"(S'echo'\nios\nsystem\n.", "scikit-learn: os.system"),
        (pickle.dumps({"a": 1}), "what it would import cannot be told"),
        (b"", "what it would import cannot be told"),
        (b"".join(b"cm\nn%d\n" % i for i in range(20)) + b".", "m.n15 and 12 more"),
    ],
)
def test_what_is_told_is_short(tmp_path: Path, content: bytes, told: str) -> None:
    models.save(tmp_path, "model.pkl", content)

    assert told in opcodes.told(tmp_path / "model.pkl")
    assert ("not of numpy" in opcodes.told(tmp_path / "model.pkl")) is not ("sklearn" in told) or (
        "cannot be told" in told
    )


@given(content=st.binary(max_size=200), cut=st.integers(0, 900))
def test_garbage_and_what_is_cut_short_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cut: int
) -> None:
    whole = pickle.dumps(models.classifier())
    folder = tmp_path_factory.mktemp("garbage")

    for garbage in (content, whole[:cut] + content, b"x\x9c" + content, b"\x1f\x8b" + content):
        assert isinstance(imports_of(folder, garbage), set)


def test_a_bomb_is_read_to_a_bound_and_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opcodes, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(opcodes, "MAX_S", 0.2)
    start = pickle.PROTO + b"\x04" + b"cos\nsystem\n0"
    behind = b"cos\nlistdir\n0."

    assert imports_of(tmp_path, zlib.compress(start + b"N0" * (1 << 20) + behind)) == {"os.system"}
    assert imports_of(tmp_path, start + b"\x8e" + b"\xff" * 7 + b"\x7f") == {"os.system"}

    started = time.monotonic()
    monkeypatch.setattr(opcodes, "MAX_BYTES", 1 << 30)
    assert imports_of(tmp_path, start + b"N0" * (1 << 22) + behind) == {"os.system"}
    assert time.monotonic() - started < 5
