"""What an `MLmodel` file says, read without mlflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import manifest, mlmodel
from app.errors import ModelInvalid
from app.runtimes import RUNTIMES
from app.schema.declared import declare
from app.tensors import Signature


def written(folder: Path, flavours: Any, **signature: Any) -> Path:
    """As mlflow writes it: each part of the signature is JSON in a text."""
    texts = {part: json.dumps(fields) for part, fields in signature.items()}
    folder.mkdir(exist_ok=True)
    file = folder / "MLmodel"
    file.write_text(yaml.safe_dump({"flavors": flavours, "signature": texts or None}))
    return file


def pyfunc(module: str, **more: Any) -> dict[str, Any]:
    return {"python_function": {"loader_module": module, **more}}


SKLEARN = {"sklearn": {"pickled_model": "model.pkl", "sklearn_version": "1.2.3"}}
CHOICES = {
    "sklearn alone": (SKLEARN, ("sklearn", "model.pkl", None)),
    "sklearn": (SKLEARN | pyfunc("mlflow.sklearn"), ("sklearn", "model.pkl", None)),
    "sklearn of scores": (
        SKLEARN | pyfunc("mlflow.sklearn", predict_fn="predict_proba"),
        ("sklearn", "model.pkl", "probabilities"),
    ),
    "sklearn by another method": (
        SKLEARN | pyfunc("mlflow.sklearn", predict_fn="transform"),
        ("pyfunc", "MLmodel", None),
    ),
    "sklearn within a loader of its own": (
        SKLEARN | pyfunc("my.loader"),
        ("pyfunc", "MLmodel", None),
    ),
    "sklearn as mlflow 1 had it": (
        {"sklearn": {"sklearn_version": "0.22"}} | pyfunc("mlflow.sklearn", model_path="m.pkl"),
        ("sklearn", "m.pkl", None),
    ),
    "onnx": ({"onnx": {"data": "model.onnx"}}, ("onnx", "model.onnx", None)),
    "lightgbm": (
        {"lightgbm": {"data": "model.lgb", "model_class": "lightgbm.basic.Booster"}},
        ("boosters", "model.lgb", "prediction"),
    ),
    "lightgbm pickled": ({"lightgbm": {"data": "model.pkl"}}, ("sklearn", "model.pkl", None)),
    "xgboost": (
        {"xgboost": {"data": "model.json", "model_class": "xgboost.sklearn.XGBClassifier"}},
        ("boosters", "model.json", None),
    ),
    "custom": (pyfunc("mlflow.pyfunc.model"), ("pyfunc", "MLmodel", None)),
    "keras": ({"keras": {"data": "data"}} | pyfunc("mlflow.keras"), ("pyfunc", "MLmodel", None)),
}


@pytest.mark.parametrize(("flavours", "wanted"), CHOICES.values(), ids=CHOICES)
def test_the_flavour_decides_runtime_file_and_result(
    tmp_path: Path, flavours: Any, wanted: Any
) -> None:
    found = mlmodel.read(written(tmp_path, flavours))

    assert (found.runtime, found.file, found.result) == wanted


NUMBER = {"type": ["number", "null"]}
COLUMNS: dict[str, tuple[Any, Any]] = {
    "boolean": ("boolean", {"type": "boolean"}),
    "integer": ("integer", {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}),
    "long": ("long", {"type": "integer"}),
    "float": ("float", NUMBER),
    "double": ("double", NUMBER),
    "string": ("string", {"type": "string"}),
    "binary": (
        "binary",
        {"type": "string", "contentEncoding": "base64", "pattern": mlmodel.BASE64},
    ),
    "datetime": ("datetime", {"type": "string", "format": "date-time"}),
    "any": ("any", {}),
}


@pytest.mark.parametrize(("kind", "wanted"), COLUMNS.values(), ids=COLUMNS)
def test_a_column_is_told_as_json_schema(tmp_path: Path, kind: str, wanted: Any) -> None:
    columns = [
        {"type": kind, "name": "a", "required": True},
        {"type": kind, "name": "b", "required": False},
        {"type": "array", "items": {"type": kind}, "name": "c", "required": True},
        {"type": "array", "items": {"type": "array", "items": {"type": kind}}, "name": "d"},
    ]
    schema = mlmodel.read(written(tmp_path, SKLEARN, inputs=columns)).schema
    assert schema is not None

    properties = schema["properties"]
    several = {"type": "array", "items": wanted}
    assert [properties[name] for name in "acd"] == [
        wanted,
        several,
        {"type": "array", "items": several},
    ]
    assert kind == "any" or "null" in properties["b"]["type"]
    assert schema["required"] == ["a", "c", "d"]
    inputs = declare(Signature((), ()), schema).inputs
    assert [len(spec.shape) for spec in inputs] == [1, 1, 2, 3]
    assert [spec.required for spec in inputs] == [True, False, True, True]


def test_objects_and_maps_are_told_with_what_they_hold(tmp_path: Path) -> None:
    message = {
        "type": "object",
        "properties": {
            "role": {"type": "string", "required": True},
            "tokens": {"type": "array", "items": {"type": "long"}, "required": False},
        },
    }
    columns = [
        {**message, "name": "message", "required": True},
        {"type": "array", "items": message, "name": "history", "required": False},
        {"type": "map", "values": {"type": "double"}, "name": "scores", "required": True},
        {"type": "object", "name": "bare", "required": True},
    ]
    schema = mlmodel.read(written(tmp_path, SKLEARN, inputs=columns)).schema
    assert schema is not None

    told = {
        "type": "object",
        "properties": {
            "role": {"type": "string"},
            "tokens": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["role"],
    }
    assert schema["properties"] == {
        "message": told,
        "history": {"type": ["array", "null"], "items": told},
        "scores": {"type": "object", "additionalProperties": NUMBER},
        "bare": {"type": "object"},
    }


SHAPES: list[tuple[list[int], str, Any]] = [
    ([-1], "int64", {"type": "integer"}),
    ([-1, 2], "float32", {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}),
    ([-1, -1], "str", {"type": "array", "items": {"type": "string"}}),
    ([1, 2], "bool", [1, 2]),
    ([-1], "object", {}),
    ([-1], "datetime64[ns]", {"type": "string", "format": "date-time"}),
    ([-1], "uint8", {"type": "integer"}),
]


@pytest.mark.parametrize(("shape", "dtype", "wanted"), SHAPES)
def test_a_tensor_is_told_as_nested_lists(
    tmp_path: Path, shape: list[int], dtype: str, wanted: Any
) -> None:
    tensor = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}
    alone = mlmodel.read(written(tmp_path, SKLEARN, inputs=[tensor])).schema
    named = mlmodel.read(written(tmp_path, SKLEARN, inputs=[{**tensor, "name": "x"}])).schema
    assert alone is not None
    assert named is not None

    if isinstance(wanted, list):  # a first axis that is fixed is one record's own
        assert (alone["minItems"], alone["items"]["minItems"]) == tuple(wanted)
    else:
        assert alone == wanted
    assert named["properties"] == {"x": alone}


EXAMPLES: dict[str, tuple[Any, Any, Any]] = {
    "frame": (
        {"type": "dataframe", "pandas_orient": "split"},
        {"columns": ["a"], "data": [[1], [2]]},
        [{"a": 1}, {"a": 2}],
    ),
    "array": ({"type": "ndarray"}, {"inputs": [[1, 2], [3, 4]]}, [[1, 2], [3, 4]]),
    "other": ({"type": "json_object"}, {"a": 1}, None),
    "ragged": (
        {"type": "dataframe", "pandas_orient": "split"},
        {"columns": ["a"], "data": [[1, 2]]},
        None,
    ),
    "no frame": ({"type": "dataframe", "pandas_orient": "split"}, [1], None),
    "many": ({"type": "ndarray"}, {"inputs": [1] * 100}, [1] * 8),
    "outside": ({"type": "ndarray", "artifact_path": "../x.json"}, {"inputs": [1]}, None),
    "gone": ({"type": "ndarray", "artifact_path": "gone.json"}, {"inputs": [1]}, None),
    "no text": ({"type": "ndarray", "artifact_path": 1}, {"inputs": [1]}, None),
}


@pytest.mark.parametrize(("told", "content", "wanted"), EXAMPLES.values(), ids=EXAMPLES)
def test_an_input_example_is_the_examples_of_the_schema(
    tmp_path: Path, told: Any, content: Any, wanted: Any
) -> None:
    file = written(tmp_path / "model", SKLEARN, inputs=[{"type": "long", "name": "a"}])
    stated = yaml.safe_load(file.read_text())
    stated["saved_input_example_info"] = {"artifact_path": "x.json", **told}
    file.write_text(yaml.safe_dump(stated))
    for folder in (tmp_path, tmp_path / "model"):
        (folder / "x.json").write_text(json.dumps(content))

    schema = mlmodel.read(file).schema
    assert schema is not None
    assert schema.get("examples") == wanted


def test_columns_without_names_go_by_position(tmp_path: Path) -> None:
    three = [{"type": "double"}] * 3
    mixed = [{"type": "double"}, {"type": "string"}]

    assert mlmodel.read(written(tmp_path, SKLEARN, inputs=three)).schema == (
        {"type": "array", "items": NUMBER, "minItems": 3, "maxItems": 3}
    )
    assert mlmodel.read(written(tmp_path, SKLEARN, inputs=mixed)).schema == (
        {"type": "array", "items": {}, "minItems": 2, "maxItems": 2}
    )
    assert mlmodel.read(written(tmp_path, SKLEARN, inputs=[{"type": "string"}])).schema == (
        {"type": "string"}
    )
    assert mlmodel.read(written(tmp_path, SKLEARN)).schema is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a: [", "MLmodel is not YAML"),
        ("a: !!python/object:os.system x", "MLmodel is not YAML"),
        (b"\xff", "MLmodel is not YAML"),
        ("", "MLmodel has no flavors"),
        ("- a", "MLmodel has no flavors"),
        ("flavors: null", "MLmodel has no flavors"),
        ("flavors: {sklearn: 1}", "MLmodel has no flavors"),
        ("flavors: {}", "MLmodel has the flavors none; served are onnx, sklearn, lightgbm"),
        ("flavors: {spark: {}, mleap: {}}", "MLmodel has the flavors spark, mleap; served"),
        ("flavors: {onnx: {data: m}}\nsignature: {inputs: '{'}", "the inputs of the signature"),
        (
            "flavors: {onnx: {data: m}}\n"
            'signature: {inputs: \'[{"type": "object", "properties": {"a": 1}}]\'}',
            "the inputs of the signature",
        ),
        ("flavors: {onnx: {data: m}}\nsignature: {inputs: '[1]'}", "the inputs of the signature"),
        ("flavors: {onnx: {data: m}}\nsignature: {params: '[{}, 1]'}", "the params of the sign"),
        (
            'flavors: {onnx: {data: m}}\nsignature: {outputs: \'[{"type": "tensor"}]\'}',
            "the outputs of the signature in MLmodel cannot be read",
        ),
        ("flavors: {onnx: {data: ../m.onnx}}", r"MLmodel names '\.\./m\.onnx', which is not in"),
        ("flavors: {onnx: {data: m.onnx}}", r"MLmodel names 'm\.onnx', which is not in the model"),
        (
            "flavors: {sklearn: {pickled_model: model.pkl, code: ../code}}",
            "MLmodel names a folder of code that is not in the model folder",
        ),
    ],
)
def test_a_file_that_cannot_be_served_is_refused_with_the_reason(
    tmp_path: Path, content: str | bytes, told: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.pkl").touch()
    (folder / "MLmodel").write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ModelInvalid, match=told):
        manifest.read(folder)


def test_it_goes_after_the_manifest_and_before_all_else(tmp_path: Path) -> None:
    written(tmp_path, {"onnx": {"data": "graph.onnx"}})
    for name in ("score.py", "graph.onnx", "model.pkl", "other.onnx"):
        (tmp_path / name).touch()
    assert manifest.holds_model(tmp_path)
    assert manifest.read(tmp_path).file.name == "graph.onnx"

    (tmp_path / "manifest.yaml").write_text("file: model.pkl")
    found = manifest.read(tmp_path)
    assert (found.file.name, found.mlmodel) == ("model.pkl", None)


def test_a_manifest_may_ask_for_mlflow_itself_or_name_the_result(tmp_path: Path) -> None:
    written(tmp_path, SKLEARN | pyfunc("mlflow.sklearn", predict_fn="predict_proba"))
    (tmp_path / "model.pkl").touch()
    (tmp_path / "manifest.yaml").write_text("runtime: pyfunc")
    found = manifest.read(tmp_path)
    assert (found.runtime, found.file.name, found.result) == ("pyfunc", "MLmodel", None)

    (tmp_path / "manifest.yaml").write_text("outputs: label")
    found = manifest.read(tmp_path)
    assert (found.runtime, found.file.name, found.result) == ("sklearn", "model.pkl", "label")


def test_versions_at_training_are_those_of_both_files(tmp_path: Path) -> None:
    written(tmp_path, SKLEARN)
    (tmp_path / "model.pkl").touch()
    (tmp_path / "requirements.txt").write_text("numpy==1.2\nscikit-learn==9.9\n")

    requirements = manifest.read(tmp_path).requirements
    assert requirements == {"numpy": "1.2", "scikit-learn": "1.2.3"}


def test_two_folders_with_a_model_are_no_model(tmp_path: Path) -> None:
    for name in ("one", "two"):
        written(tmp_path / name, SKLEARN)

    with pytest.raises(ModelInvalid, match="no model file found; looked for MLmodel, "):
        manifest.read(tmp_path)


def test_the_page_on_models_tells_of_every_file_runtime_and_flavour() -> None:
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text()
    suffixes = [f"`*{suffix}`" for suffix in manifest.RUNTIME_OF]
    flavours = [f"`{flavour}`" for flavour in mlmodel.NATIVE]

    for word in (*suffixes, *flavours, *(f"`{runtime}`" for runtime in RUNTIMES)):
        assert word in page, word
