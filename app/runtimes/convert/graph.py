"""A fitted estimator as an ONNX graph, in double precision as far as its parts allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    Int64TensorType,
    StringTensorType,
)

from app.runtimes.convert import bins, ensembles, imputers, onehot
from app.runtimes.convert.nodes import OPSET, finished
from app.runtimes.convert.trees import Unconvertible
from app.tensors import Signature, TensorSpec, storage

_OPSETS: Final = {"": OPSET, "ai.onnx.ml": 3}
_TOLD: Final = 200
"""Characters of what skl2onnx says when it fails."""

Types = list[tuple[str, Any]]


def register() -> None:
    """Use our converters where they are exact and those of skl2onnx are not."""
    bins.register()
    ensembles.register()
    imputers.register()
    onehot.register()


def plans(estimator: Any, signature: Signature) -> Iterator[Types]:
    """The types of inputs to try, the likeliest first.

    Raises:
        Unconvertible: an input has no ONNX type.
    """
    names = getattr(estimator, "feature_names_in_", None)
    specs = {spec.name: spec for spec in signature.inputs}
    if names is None:
        yield from _of_rows(estimator, signature)
        return
    numbers = [(str(name), _type(specs[name])) for name in names]
    yield numbers
    own = [(str(name), _type(specs[name], as_is=True)) for name in names]
    if [type(kind) for _, kind in own] != [type(kind) for _, kind in numbers]:
        yield own


def _of_rows(estimator: Any, signature: Signature) -> Iterator[Types]:
    """Of an estimator that takes an array, whose columns a schema may name."""
    kinds = {type(_type(spec)) for spec in signature.inputs}
    if len(kinds) > 1:
        raise Unconvertible("its columns are of several types and have no names")
    width = getattr(estimator, "n_features_in_", None)
    if kinds == {StringTensorType} and width is None:
        yield [("rows", StringTensorType([None]))]
        yield [("rows", StringTensorType([None, 1]))]
    elif width is None:
        raise Unconvertible("how many columns it takes is not known")
    else:
        yield [("rows", kinds.pop()([None, int(width)]))]


def _type(spec: TensorSpec, *, as_is: bool = False) -> Any:
    """A number is a double unless it is to be taken as it is."""
    kind = storage(spec.dtype).kind
    if spec.dtype == "string":
        return StringTensorType([None, 1])
    if kind not in "fiub":
        raise Unconvertible(
            f'the type of "{spec.name}" ({spec.dtype}) has no ONNX form; a schema.json that tells '
            "it is a number or a text may help"
        )
    if as_is and kind in "iu":
        return Int64TensorType([None, 1])
    return BooleanTensorType([None, 1]) if as_is and kind == "b" else DoubleTensorType([None, 1])


def converted(estimator: Any, types: Types) -> bytes:
    """The graph, serialised.

    Raises:
        Unconvertible: it has none; the text says for which part.
    """
    given: dict[str, Any] = {"initial_types": types, "target_opset": _OPSETS}
    try:
        try:
            model = convert_sklearn(estimator, options={"zipmap": False}, **given)
        except NameError:  # its last step has no such option: no map to avoid
            model = convert_sklearn(estimator, **given)
    except Unconvertible:
        raise
    except Exception as error:  # of what they cannot convert, converters raise anything
        told = " ".join(str(error).split())[:_TOLD]
        raise Unconvertible(f"skl2onnx: {type(error).__name__}: {told}") from error
    content: bytes = finished(model).SerializeToString()
    return content
