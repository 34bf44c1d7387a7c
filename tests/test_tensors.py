"""`app.tensors`: the nouns of a call."""

import numpy as np
import pytest

from app.tensors import Batch, ModelRef, Signature, TensorSpec, storage


def specs(*shapes: tuple[int | None, ...]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"x{i}", "float32", shape) for i, shape in enumerate(shapes))


def test_a_reference_reads_as_name_and_version() -> None:
    assert str(ModelRef("local", "churn", "3")) == "churn:3"


@pytest.mark.parametrize(
    ("dtype", "held"),
    [("float32", "float32"), ("bfloat16", "float32"), ("string", "object"), ("any", "object"),
     ("datetime", "datetime64[us]"), ("bool", "bool"), ("object", "object")],
)  # fmt: skip
def test_every_data_type_has_a_numpy_type_that_holds_it(dtype: str, held: str) -> None:
    assert storage(dtype) == np.dtype(held)


@pytest.mark.parametrize(
    ("shapes", "batched"),
    [
        ([(None,)], True),
        ([(None, 4), (None,)], True),
        ([(None, 4), (2,)], False),
        ([(1, 4)], False),
        ([()], False),
        ([], False),
    ],
)
def test_a_signature_is_batched_when_rows_come_first_in_every_input(
    shapes: list[tuple[int | None, ...]], batched: bool
) -> None:
    assert Signature(specs(*shapes), ()).batched is batched


def test_outputs_are_known_by_their_own_and_their_other_names() -> None:
    signature = Signature((), specs((None,), (None, 2)), aliases={"label": "x0", "x1": "x0"})
    assert signature.canonical(["label", "x1", "x0"]) == ("x0", "x1")
    with pytest.raises(KeyError):
        signature.canonical(["y"])


def test_columns_of_a_batch_stand_side_by_side_in_a_matrix() -> None:
    batch = Batch({"a": np.array([[1], [2]]), "b": np.array([3.5, 4.5])}, 2)
    matrix = batch.matrix(["b", "a"], "float32")
    assert (matrix.dtype.name, matrix.tolist()) == ("float32", [[3.5, 1], [4.5, 2]])
    text = Batch({"a": np.array(["x"], dtype=object)}, 1).matrix(["a"], "string")
    assert (text.dtype, text.tolist()) == (np.dtype("O"), [["x"]])


def test_batches_of_equal_rows_join_in_order() -> None:
    one = Batch({"a": np.array([1, 2]), "b": np.zeros((2, 3))}, 2, extra_columns=1)
    two = Batch({"a": np.array([3]), "b": np.ones((1, 3))}, 1)
    assert one.row_key() == two.row_key()
    joint = Batch.join([one, two])
    assert (joint.rows, joint.arrays["a"].tolist()) == (3, [1, 2, 3])
    assert joint.arrays["b"][:, 0].tolist() == [0, 0, 1]
    assert Batch.join([one]) is one


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.array([1.0])},
        {"a": np.array([[1]])},
        {"b": np.array([1])},
        {"a": np.array([1]), "b": np.array([1])},
    ],
)
def test_batches_of_other_rows_have_another_key(other: dict[str, np.ndarray]) -> None:
    assert Batch({"a": np.array([1])}, 1).row_key() != Batch(other, 1).row_key()
