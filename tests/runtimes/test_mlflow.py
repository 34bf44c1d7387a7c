"""Models in MLflow's format that our own runtimes serve: the answers are mlflow's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn

from app import manifest
from app.errors import ModelInvalid, SchemaMismatch
from app.runtimes import load
from app.schema import Schema
from tests import boosters, models
from tests.boosters import NUMBERS
from tests.mlflow_models import FRAME
from tests.models import KINDS, ROWS

RECORDS = FRAME.to_dict("records")
RUNTIMES = {
    "sklearn_skops": "sklearn",
    "sklearn_cloudpickle": "sklearn",
    "sklearn_pickle": "sklearn",
    "sklearn_with_code": "sklearn",
    "onnx": "onnx",
    "lightgbm": "sklearn",
    "lightgbm_bare": "boosters",
    "xgboost": "boosters",
    "xgboost_bare": "boosters",
    "catboost": "boosters",
    "pyfunc_sum": "pyfunc",
}


@pytest.mark.parametrize(("name", "runtime"), RUNTIMES.items())
def test_a_flavour_is_served_by_its_own_runtime(saved: Path, name: str, runtime: str) -> None:
    assert manifest.holds_model(saved / name)
    assert manifest.read(saved / name).runtime == runtime


@pytest.mark.parametrize("name", ["sklearn_skops", "sklearn_cloudpickle", "sklearn_pickle"])
def test_an_estimator_of_any_serialisation_answers_as_it_did(saved: Path, name: str) -> None:
    model = models.load(saved / name)

    assert models.predict(model, RECORDS, "label")["label"].tolist() == KINDS.tolist()
    assert [spec.name for spec in model.signature.outputs] == ["label", "probabilities"]
    assert model.signature.declared == {
        "type": "object",
        "properties": {
            "age": {"type": "integer"},
            "city": {"type": "string"},
            "income": {"type": ["number", "null"]},
        },
        "required": ["age", "city", "income"],
        "examples": RECORDS[:2],
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"age": "old"}, 'column "age": expected an integer, got a string'),
        ({"city": None}, 'column "city": expected a string, got null'),
        ({"age": 1.5}, 'column "age": expected an integer, got a number'),
    ],
)
def test_the_signature_is_what_a_payload_must_fit(saved: Path, change: Any, told: str) -> None:
    schema = Schema(models.load(saved / "sklearn_skops").signature)

    with pytest.raises(SchemaMismatch, match=told):
        schema.decode([RECORDS[0] | change])


def test_examples_that_do_not_fit_are_left_out(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved / "sklearn_skops", tmp_path / "model")
    rows = [[31, "Bern", 1.5], ["old", "Bern", 1.5], [31, None, 1.5]]
    example = {"columns": ["age", "city", "income"], "data": rows}
    models.save(folder, "input_example.json", json.dumps(example).encode())

    declared = models.load(folder).signature.declared
    assert declared is not None
    assert declared["examples"] == [{"age": 31, "city": "Bern", "income": 1.5}]


def test_a_schema_file_goes_before_the_signature(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved / "sklearn_skops", tmp_path / "model")
    columns = {"age": {"minimum": 0}, "city": {"enum": ["Bern", "Rome"]}, "income": {}}
    models.save(folder, "schema.json", json.dumps({"properties": columns}).encode())

    with pytest.raises(SchemaMismatch, match='expected one of "Bern", "Rome"'):
        Schema(models.load(folder).signature).decode([RECORDS[0] | {"city": "Oslo"}])


def test_results_are_what_mlflow_was_told_to_call(saved: Path) -> None:
    estimator = models.frame_classifier()
    found = models.result(saved / "sklearn_scores", RECORDS)

    np.testing.assert_allclose(found, estimator.predict_proba(FRAME))


def test_a_signature_of_an_array_takes_rows(saved: Path) -> None:
    assert models.result(saved / "sklearn_tensor", ROWS.tolist()).tolist() == KINDS.tolist()


def test_a_signature_of_an_array_leaves_the_names_of_columns(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved / "sklearn_cloudpickle", tmp_path / "model")
    tensor = [{"type": "tensor", "tensor-spec": {"dtype": "object", "shape": [-1, 3]}}]
    stated = (folder / "MLmodel").read_text()
    start, end = stated.index("  inputs:"), stated.index("  outputs:")
    (folder / "MLmodel").write_text(
        f"{stated[:start]}  inputs: '{json.dumps(tensor)}'\n{stated[end:]}"
    )

    assert models.result(folder, RECORDS).tolist() == KINDS.tolist()


def test_modules_saved_with_a_model_are_found(saved: Path) -> None:
    before = list(sys.path)
    found = models.result(saved / "sklearn_with_code", ROWS.tolist())

    np.testing.assert_allclose(found, ROWS.sum(axis=1))
    assert sys.path == [*before, str(saved / "sklearn_with_code" / "code")]
    sys.path[:] = before


def test_a_graph_is_fed_by_the_columns_of_the_signature(saved: Path) -> None:
    model = models.load(saved / "onnx")
    records = [{"b": b, "a": a} for a, b in ROWS.tolist()]

    assert models.predict(model, records, "label").popitem()[1].tolist() == KINDS.tolist()


@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("lightgbm", lambda: boosters.lightgbm("binary", boosters.FRAME)),
        ("xgboost", lambda: boosters.xgboost("classes")),
        ("catboost", lambda: boosters.catboost("binary")),
    ],
)
def test_boosters_with_scikit_learns_methods_predict_classes(
    saved: Path, name: str, train: Any
) -> None:
    is_named = name == "lightgbm"
    wanted = np.ravel(train().predict(boosters.FRAME if is_named else NUMBERS))
    sent = boosters.FRAME.to_dict("records") if is_named else NUMBERS.tolist()

    assert models.result(saved / name, sent).tolist() == wanted.tolist()


def test_bare_boosters_predict_scores_as_with_mlflow(saved: Path) -> None:
    booster = boosters.lightgbm("binary", boosters.FRAME).booster_
    found = models.result(saved / "lightgbm_bare", boosters.FRAME.to_dict("records"))
    np.testing.assert_array_equal(found, booster.predict(NUMBERS))

    wanted = boosters.xgboost("classes").predict_proba(NUMBERS)
    found = models.result(saved / "xgboost_bare", NUMBERS.tolist())
    np.testing.assert_array_equal(found, wanted)


def test_another_version_of_scikit_learn_is_warned_of(
    saved: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(saved / "sklearn_cloudpickle", tmp_path / "model")
    here = sklearn.__version__
    stated = (folder / "MLmodel").read_text()
    assert f"sklearn_version: {here}" in stated
    (folder / "MLmodel").write_text(stated.replace(f"version: {here}", "version: 1.2.3"))

    models.load(folder)

    told = f"model.pkl was trained with scikit-learn 1.2.3, here is {here}"
    assert caplog.messages == [told]


def test_a_run_that_holds_its_model_as_a_folder_is_served(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "onnx", tmp_path / "1" / "model")
    models.save(tmp_path / "1", "metrics.json", b"{}")

    assert manifest.read(tmp_path / "1").file == tmp_path / "1" / "model" / "model.onnx"
    assert not manifest.holds_model(tmp_path)  # versions of a name are no model


@pytest.mark.parametrize("name", ["sklearn_pickle", "sklearn_with_code", "pyfunc_sum"])
def test_code_wants_trust(saved: Path, name: str) -> None:
    before = list(sys.path)

    with pytest.raises(ModelInvalid, match=r"which is code: no trust \(.*it would import "):
        load(manifest.read(saved / name), 1, "no trust")
    assert sys.path == before


@pytest.mark.parametrize("name", ["sklearn_skops", "onnx", "xgboost", "catboost", "lightgbm_bare"])
def test_what_is_no_code_wants_none(saved: Path, name: str) -> None:
    assert load(manifest.read(saved / name), 1, "no trust").signature.inputs


def test_none_of_it_imports_mlflow(saved: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from app import manifest, runtimes\n"
        "for name in sys.argv[2:]:\n"
        "    runtimes.load(manifest.read(Path(sys.argv[1]) / name), 1)\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'mlflow'])"
    )
    names = [name for name, runtime in RUNTIMES.items() if runtime != "pyfunc"]
    run = subprocess.run(
        [sys.executable, "-c", script, saved, *names], capture_output=True, check=True, text=True
    )

    assert run.stdout == "[]\n"
