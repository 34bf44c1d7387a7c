"""ONNX files that cannot be loaded, external data, and what a session does to its process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from app import manifest, runtimes
from app.errors import ModelInvalid
from app.tensors import Batch
from tests import models


def truncated(folder: Path) -> Path:
    whole = (models.identity(folder) / "model.onnx").read_bytes()
    return models.save(folder, "model.onnx", whole[:-9])


def of_version(folder: Path, **versions: Any) -> Path:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return models.save_onnx(folder, nodes, [models.value("x")], [models.value("y")], **versions)


def of_unknown_operator(folder: Path) -> Path:
    nodes = [helper.make_node("Teleport", ["x"], ["y"])]
    return models.save_onnx(folder, nodes, [models.value("x")], [models.value("y")])


def without_external_data(folder: Path) -> Path:
    (models.with_external_data(folder, "gone.bin") / "gone.bin").unlink()
    return folder


def above(folder: Path) -> Path:
    return models.with_external_data(folder / "model", "../w.bin")


BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (lambda f: models.save(f, "model.onnx", b""), "No graph was found"),
    "a text": (lambda f: models.save(f, "model.onnx", b"model\n"), "Protobuf parsing failed"),
    "noise": (lambda f: models.save(f, "model.onnx", b"\x08\x08\x12\xff\xff\x0f"), "Protobuf"),
    "cut short": (truncated, "Protobuf parsing failed"),
    "a newer opset": (lambda f: of_version(f, opset=999), "Opset 999 is under development"),
    "a newer format": (lambda f: of_version(f, ir_version=999), "IR version: 999, max supported"),
    "an unknown operator": (of_unknown_operator, "No Op registered for Teleport"),
    "data that is not there": (without_external_data, 'does not exist: "gone.bin"'),
    "data above the folder": (above, 'escapes model directory. External data path: "../w.bin"'),
    "data in a roundabout way": (
        lambda f: models.with_external_data(f / "m", "sub/../../w.bin", file=f / "w.bin"),
        "escapes model directory",
    ),
    "data at an absolute path": (
        lambda f: models.with_external_data(f / "m", f"{f}/w.bin", file=f / "w.bin"),
        "Absolute path not allowed",
    ),
}


@pytest.mark.parametrize(("make", "told"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_loaded_is_named_without_a_path_of_this_machine(
    tmp_path: Path, make: Callable[[Path], Path], told: str
) -> None:
    folder = make(tmp_path)

    with pytest.raises(ModelInvalid) as caught:
        models.load(folder)

    assert str(caught.value).startswith("onnxruntime cannot load model.onnx: ")
    assert told in str(caught.value)
    assert not any(part in str(caught.value) for part in (*tmp_path.parts[1:], "onnxruntime_src"))


@pytest.mark.parametrize("location", ["w.bin", "sub/w.bin"])
def test_external_data_inside_the_folder_is_read(tmp_path: Path, location: str) -> None:
    folder = models.with_external_data(tmp_path, location)

    assert models.result(folder, [[0, 0, 0]]).tolist() == [[1, 2, 3]]


def test_external_data_may_be_a_link_inside_the_folder_and_not_one_that_leaves_it(
    tmp_path: Path,
) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    models.with_external_data(inside, "w.bin", file=inside / "real.bin")
    (inside / "w.bin").symlink_to("real.bin")
    models.with_external_data(outside, "w.bin", file=tmp_path / "real.bin")
    (outside / "w.bin").symlink_to(tmp_path / "real.bin")

    assert models.result(inside, [[0, 0, 0]]).tolist() == [[1, 2, 3]]
    with pytest.raises(ModelInvalid, match=r"w\.bin is a link that leaves the model folder"):
        models.load(outside)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_session_has_as_many_threads_as_were_asked_for_and_they_sleep(
    tmp_path: Path, threads: int
) -> None:
    folder = manifest.read(models.identity(tmp_path))
    before = len(os.listdir("/proc/self/task"))
    model: Any = runtimes.load(folder, threads)
    options = model._session.get_session_options()

    assert len(os.listdir("/proc/self/task")) - before == threads - 1
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_rows_of_any_memory_layout_are_read_right(tmp_path: Path) -> None:
    model = models.load(models.identity(tmp_path, TensorProto.BFLOAT16))
    rows = np.arange(12, dtype=np.float32).reshape(3, 4).T[1:]

    assert model.predict(Batch({"x": rows}, 3), ("y",))["y"].tolist() == rows.tolist()


def test_loading_and_predicting_write_nothing_into_the_home_folder(tmp_path: Path) -> None:
    folder = models.identity(tmp_path / "model")
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import sys; from pathlib import Path; from tests import models\n"
        "print(models.result(Path(sys.argv[1]), [[1, 2, 3]]).tolist())"
    )
    kept = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    run = subprocess.run(
        [sys.executable, "-B", "-c", script, folder],
        env={**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home)},
        capture_output=True,
        check=True,
        text=True,
    )

    assert run.stdout == "[[1.0, 2.0, 3.0]]\n"
    assert run.stderr == ""
    assert list(home.rglob("*")) == []
