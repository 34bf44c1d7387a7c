"""ONNX models: every type and rank, classifiers of all makes, and files that are not models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from app import golden
from app.errors import ModelInvalid
from app.schema import Schema
from tests import models

# numpy's name of a type, ONNX's, and values at the ends of its range
INTEGERS = [
    (name, getattr(TensorProto, name.upper()), [np.iinfo(name).min, 0, np.iinfo(name).max])
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
]
TYPES = [
    *INTEGERS,
    ("float16", TensorProto.FLOAT16, [-65504.0, 0.5, 65504.0]),
    ("float32", TensorProto.FLOAT, [-1.5, 0.0, 3.25]),
    ("float64", TensorProto.DOUBLE, [-1e300, 0.1, 1e-300]),
    ("bfloat16", TensorProto.BFLOAT16, [-1.5, 0.0, 3.25]),
    ("bool", TensorProto.BOOL, [True, False, True]),
    ("string", TensorProto.STRING, ["", "é", "日本"]),
]


@pytest.mark.parametrize(("dtype", "kind", "row"), TYPES)
def test_every_type_goes_through_unchanged(
    tmp_path: Path, dtype: str, kind: int, row: list[Any]
) -> None:
    model = models.load(models.identity(tmp_path, kind))
    found = models.predict(model, [row, row])["y"]

    assert model.signature.inputs[0].dtype == model.signature.outputs[0].dtype == dtype
    assert found.tolist() == [row, row]


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (1.0, 1.0),
        (1 + 2**-8, 1.0),
        (1 + 2**-8 + 2**-20, 1 + 2**-7),
        (1 + 3 * 2**-8, 1 + 2**-6),
        (-0.1, -0.10009765625),
    ],
)
def test_bfloat16_is_rounded_to_the_nearest_even(tmp_path: Path, given: float, got: float) -> None:
    folder = models.identity(tmp_path, TensorProto.BFLOAT16, ("N", 1))

    assert models.result(folder, [given]).tolist() == [[got]]


def of_types(folder: Path, **kinds: int) -> Path:
    nodes = [helper.make_node("Identity", [n], [f"{n}_out"]) for n in kinds]
    inputs = [models.value(n, kind, ("N", 2)) for n, kind in kinds.items()]
    outputs = [models.value(f"{n}_out", kind, ("N", 2)) for n, kind in kinds.items()]
    return models.save_onnx(folder, nodes, inputs, outputs, opset=21, ir_version=10)


def test_bfloat16_stands_beside_other_types(tmp_path: Path) -> None:
    kinds = {"a": TensorProto.BFLOAT16, "b": TensorProto.BOOL, "c": TensorProto.INT8}
    record = {"a": [0.5, 2.0], "b": [True, False], "c": [1, -1]}

    found = models.predict(models.load(of_types(tmp_path, **kinds)), [record])

    assert {n: found[f"{n}_out"].tolist() for n in kinds} == {n: [v] for n, v in record.items()}


def test_bfloat16_beside_text_is_refused(tmp_path: Path) -> None:
    folder = of_types(tmp_path, a=TensorProto.BFLOAT16, b=TensorProto.STRING)

    with pytest.raises(ModelInvalid, match="no text from Python beside bfloat16"):
        models.load(folder)


SHAPES: list[tuple[models.Shape, Any]] = [
    ((), 1.5),
    (("N",), [1.5, 2.5]),
    (("N", 1), [[1.5], [2.5]]),
    (("N", 2), [[1.5, 2.5]]),
    (("N", "M"), [[1.5, 2.5, 3.5]]),
    (("N", None), [[1.5]]),
    (("N", 2, 1), [[[1.5], [2.5]]]),
    (("N", "M", 1, 2), [[[[1.5, 2.5]]]]),
    ((2, 3), [[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]),
    ((1, "M"), [[1.5, 2.5]]),
    ((2,), [1.5, 2.5]),
]


@pytest.mark.parametrize(("shape", "data"), SHAPES)
def test_every_rank_goes_through_unchanged(
    tmp_path: Path, shape: models.Shape, data: object
) -> None:
    folder = models.identity(tmp_path, shape=shape)
    model = models.load(folder)
    free = [None if isinstance(size, (str, type(None))) else size for size in shape or ()]

    assert list(model.signature.inputs[0].shape) == free
    assert np.asarray(models.predict(model, data)["y"]).tolist() == data


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (None, 1.5),
        ({"type": "number"}, [1.5, 2.5]),
        ({"type": "array", "items": {"type": "number"}}, [[1.5, 2.5], [3.5, 4.5]]),
        (
            {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number"}, "minItems": 1},
            },
            [[[1.5], [2.5]]],
        ),
    ],
)
def test_an_input_of_unknown_rank_has_the_rank_that_the_schema_says(
    tmp_path: Path, schema: object, data: object
) -> None:
    folder = models.identity(tmp_path, shape=None)
    if schema is not None:
        models.save(folder, "schema.json", json.dumps(schema).encode())

    model = models.load(folder)

    assert np.asarray(models.predict(model, data)["y"]).tolist() == data
    assert model.signature.guessed == (("x",) if schema is None else ())


def test_several_inputs_and_outputs_are_told_apart_by_name(tmp_path: Path) -> None:
    found = models.predict(
        models.load(models.adder(tmp_path)), [{"b": [3, 4, 5], "a": [1, 2, 3]}], "product", "total"
    )

    assert {name: output.tolist() for name, output in found.items()} == {
        "product": [[3, 8, 15]],
        "total": [[4, 6, 8]],
    }


def test_an_input_with_a_default_is_not_asked_for(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "c"], ["y"])]
    weights = [helper.make_tensor("c", TensorProto.FLOAT, [3], [1, 2, 3])]
    inputs = [models.value("x"), models.value("c", shape=(3,))]
    folder = models.save_onnx(tmp_path, nodes, inputs, [models.value("y")], weights=weights)

    assert models.result(folder, [[0, 0, 0]]).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("kind", "told", "row"),
    [
        (TensorProto.STRING, "string", ["x", "y"]),
        (TensorProto.BFLOAT16, "number", [0.5, 2.0]),
        (TensorProto.INT64, "integer", [1, 2]),
    ],
)
def test_a_schema_may_name_the_columns_of_a_matrix(
    tmp_path: Path, kind: int, told: str, row: list[Any]
) -> None:
    folder = models.identity(tmp_path, kind, ("N", 2))
    schema = {"type": "object", "properties": {"b": {"type": told}, "a": {"type": told}}}
    models.save(folder, "schema.json", json.dumps(schema).encode())

    assert models.result(folder, [{"a": row[1], "b": row[0]}]).tolist() == [row]


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("classes", [[0, 1, 0, 1], [7, -3, 7, 12], list("beba")])
def test_a_classifier_has_label_and_probabilities(
    tmp_path: Path, classes: list[Any], zipmap: bool
) -> None:
    estimator = models.classifier(classes)
    model = models.load(models.from_sklearn(tmp_path, estimator, zipmap=zipmap))
    label, scores = (model.signature.canonical([name])[0] for name in ("label", "probabilities"))

    found = models.predict(model, models.ROWS.tolist(), "label", "probabilities")

    assert found[label].tolist() == estimator.predict(models.ROWS).tolist()
    assert np.allclose(found[scores], estimator.predict_proba(models.ROWS), atol=1e-6)
    assert model.signature.canonical([model.signature.result]) == (label,)
    assert list(model.signature.classes) == (sorted(set(classes)) if zipmap else [])


def test_a_manifest_names_the_classes_and_the_result(tmp_path: Path) -> None:
    folder = models.from_sklearn(tmp_path, models.classifier(), zipmap=False)
    models.save(folder, "manifest.yaml", b"classes: [home, car]\noutputs: probabilities\n")

    model = models.load(folder)

    assert model.signature.classes == ("home", "car")
    assert models.result(folder, models.ROWS.tolist()).shape == (4, 2)


def test_a_manifest_that_names_no_output_of_the_model_is_refused(tmp_path: Path) -> None:
    models.save(models.adder(tmp_path), "manifest.yaml", b"outputs: sum\n")

    with pytest.raises(ModelInvalid, match="no output 'sum'; it has total, product"):
        models.load(tmp_path)


def sequence_output(folder: Path) -> Path:
    nodes = [helper.make_node("SplitToSequence", ["x"], ["y"], axis=1)]
    outputs = [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)]
    return models.save_onnx(folder, nodes, [models.value("x")], outputs)


def optional_output(folder: Path) -> Path:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 3])
    outputs = [helper.make_value_info("y", helper.make_optional_type_proto(tensor))]
    nodes = [helper.make_node("Optional", ["x"], ["y"])]
    return models.save_onnx(folder, nodes, [models.value("x")], outputs)


def empty_optional_output(folder: Path) -> Path:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 3])
    nodes = [helper.make_node("Optional", [], ["y"], type=tensor)]
    outputs = [helper.make_value_info("y", helper.make_optional_type_proto(tensor))]
    nodes.append(helper.make_node("Identity", ["x"], ["z"]))
    return models.save_onnx(folder, nodes, [models.value("x")], [*outputs, models.value("z")])


@pytest.mark.parametrize("make", [sequence_output, optional_output, empty_optional_output])
def test_outputs_that_are_no_tensors_are_served_and_not_joined(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    model = models.load(make(tmp_path))
    verdict = golden.check(model, Schema(model.signature), None)

    found = models.predict(model, [[1, 2, 3]])

    assert model.signature.outputs[0].dtype == "any"
    assert np.ravel(found["y"]).tolist() == ([None] if len(found) == 2 else [1, 2, 3])
    assert verdict.joinable == isinstance(found["y"], np.ndarray)


@pytest.mark.parametrize(
    ("kind", "told"),
    [(TensorProto.FLOAT8E4M3FN, "float8e4m3fn"), (TensorProto.COMPLEX64, "complex64")],
)
def test_a_type_that_cannot_be_served_is_named(tmp_path: Path, kind: int, told: str) -> None:
    with pytest.raises(ModelInvalid, match=told):
        models.load(models.identity(tmp_path, kind))


def test_a_sequence_as_input_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)]
    inputs = [helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ["N", 3])]
    models.save_onnx(tmp_path, nodes, inputs, [models.value("y")])

    with pytest.raises(ModelInvalid, match='input "x" is a seq'):
        models.load(tmp_path)
