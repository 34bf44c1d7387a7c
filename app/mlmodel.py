"""What an MLflow-format model is, read from its `MLmodel` file without mlflow.

`MLmodel` is YAML (mlflow's docs, "Storage format"); the signature in it is JSON in texts. The
signature is told as the JSON Schema of one record that a `schema.json` would hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from app.errors import ModelInvalid

FILE: Final = "MLmodel"

_MAX_EXAMPLES: Final = 8
_MAX_BYTES: Final = 1 << 20
"""Of an input example, which may be the whole training set."""

NATIVE: Final = {
    "onnx": "onnx",
    "sklearn": "sklearn",
    "lightgbm": "boosters",
    "xgboost": "boosters",
    "catboost": "boosters",
}
"""Flavour -> the runtime that serves it without mlflow."""

_BOOSTER_CLASSES: Final = ("lightgbm.basic.Booster", "xgboost.core.Booster")
"""Model classes that predict scores, where those for scikit-learn predict classes."""

_PACKAGES: Final = {
    "catboost": ("catboost_version", "catboost"),
    "lightgbm": ("lgb_version", "lightgbm"),
    "sklearn": ("sklearn_version", "scikit-learn"),
    "xgboost": ("xgb_version", "xgboost"),
}
BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_NUMBER: Final = {"type": ["number", "null"]}
_TYPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "any": {},
    "binary": {"type": "string", "contentEncoding": "base64", "pattern": BASE64},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "double": _NUMBER,
    "float": _NUMBER,
    "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "long": {"type": "integer"},
    "string": {"type": "string"},
}
"""Data type of a column -> JSON Schema of a value; a missing number is NaN, as with mlflow."""
_KINDS: Final = {"bool": "boolean", "float": "double", "int": "long", "uint": "long"} | {
    "str": "string", "object": "any", "datetime": "datetime", "bytes": "binary"
}  # fmt: skip
"""numpy type of a tensor, without its digits -> data type of a column."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column, tensor or parameter of a signature."""

    name: str | None
    type: Any
    """Data type of a column (`long`; or a mapping, of arrays and objects), numpy's of a tensor."""
    shape: tuple[int, ...] | None = None
    """Of a tensor, and of a parameter that is a list."""
    required: bool = True
    default: Any = None


@dataclass(frozen=True, slots=True)
class MLmodel:
    """One `MLmodel`, understood."""

    folder: Path
    flavour: str
    runtime: str
    file: str
    """The model file, from `folder`; `MLmodel` itself for a pyfunc."""
    result: str | None = None
    """The output that mlflow's `predict` gives, where our runtime calls another one so."""
    inputs: tuple[Field, ...] = ()
    outputs: tuple[Field, ...] = ()
    params: tuple[Field, ...] = ()
    takes_list: bool = False
    """The signature was read off type hints, so a list of values comes, not a frame."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema of one record, from the signature."""
    requirements: Mapping[str, str] = field(default_factory=dict)
    """Package -> its version when the model was saved."""
    code: Path | None = None
    """A folder of modules that the model imports."""


def read(path: Path) -> MLmodel:
    """The `MLmodel` at `path`. Blocking.

    Raises:
        ModelInvalid: it cannot be read, or has no flavour that is served.
    """
    try:
        stated = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelInvalid("MLmodel is not YAML") from error
    flavours = stated.get("flavors") if isinstance(stated, dict) else None
    if not isinstance(flavours, dict) or not all(isinstance(f, dict) for f in flavours.values()):
        raise ModelInvalid("MLmodel has no flavors")
    signature = stated.get("signature") or {}
    inputs = _fields(signature, "inputs")
    flavour, runtime, file, result = _chosen(flavours)
    conf = flavours[flavour]
    key, package = _PACKAGES.get(flavour, ("", ""))
    schema = _declared(inputs)
    examples = _examples(stated.get("saved_input_example_info"), path.parent)
    if schema is not None and examples:
        schema = {**schema, "examples": examples}
    code = conf.get("code")
    return MLmodel(
        folder=path.parent,
        flavour=flavour,
        runtime=runtime,
        file=file,
        result=result,
        inputs=inputs,
        outputs=_fields(signature, "outputs"),
        params=_fields(signature, "params"),
        takes_list=bool(stated.get("is_signature_from_type_hint")),
        schema=schema,
        requirements={package: str(conf[key])} if conf.get(key) else {},
        code=path.parent / code if isinstance(code, str) else None,
    )


def _chosen(flavours: Mapping[str, Mapping[str, Any]]) -> tuple[str, str, str, str | None]:
    """Flavour, runtime, file and result: our own runtimes first, where they do what mlflow does."""
    pyfunc = flavours.get("python_function")
    loader = None if pyfunc is None else pyfunc.get("loader_module")
    for flavour, runtime in NATIVE.items():
        conf = flavours.get(flavour)
        if conf is None or loader not in (None, f"mlflow.{flavour}"):
            continue
        file = conf.get("pickled_model") or conf.get("data") or (pyfunc or {}).get("model_path")
        calls = (pyfunc or {}).get("predict_fn", "predict")
        if not isinstance(file, str) or calls not in ("predict", "predict_proba"):
            continue
        if flavour in ("lightgbm", "xgboost") and file.endswith((".pkl", ".skops")):
            runtime = "sklearn"  # an estimator with scikit-learn's methods, not a booster's file
        result = "probabilities" if calls == "predict_proba" else None
        if runtime == "boosters" and conf.get("model_class") in _BOOSTER_CLASSES:
            result = "prediction"
        return flavour, runtime, file, result
    if pyfunc is None:
        raise ModelInvalid(
            f"MLmodel has the flavors {', '.join(map(str, flavours)) or 'none'}; served are "
            f"{', '.join(NATIVE)} and python_function"
        )
    return "python_function", "pyfunc", FILE, None


def _fields(signature: Any, part: str) -> tuple[Field, ...]:
    text = signature.get(part) if isinstance(signature, dict) else None
    if text is None:
        return ()
    try:
        stated = json.loads(text)
        return tuple(_field(entry) for entry in stated)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelInvalid(f"the {part} of the signature in MLmodel cannot be read") from error


def _field(entry: Mapping[str, Any]) -> Field:
    """A column `{"type": "long", "name": ...}`, a tensor, or a parameter (with a default)."""
    if entry.get("type") == "tensor":
        spec = entry["tensor-spec"]
        return Field(entry.get("name"), str(spec["dtype"]), tuple(int(s) for s in spec["shape"]))
    given = entry.get("dtype", entry.get("type"))
    kind = entry if given in ("array", "map", "object") and "dtype" not in entry else given
    shape = entry.get("shape")
    return Field(
        name=entry.get("name"),
        type=kind if isinstance(kind, Mapping) else str(kind),
        shape=None if shape is None else tuple(int(s) for s in shape),
        required=bool(entry.get("required", not entry.get("optional", False))),
        default=entry.get("default"),
    )


def _declared(inputs: tuple[Field, ...]) -> Mapping[str, Any] | None:
    try:
        return _schema(inputs) if inputs else None
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ModelInvalid("the inputs of the signature in MLmodel cannot be read") from error


def _examples(told: Any, folder: Path) -> list[Any]:
    """Records of the input example that was saved with the model; none where it has another form.

    A frame is saved as pandas splits it, an array as the inputs of TensorFlow Serving.
    """
    if not isinstance(told, dict) or not isinstance(told.get("artifact_path"), str):
        return []
    file = folder / told["artifact_path"]
    try:
        if not file.resolve().is_relative_to(folder.resolve()) or file.stat().st_size > _MAX_BYTES:
            return []
        example = json.loads(file.read_bytes())
        if told.get("type") == "dataframe" and told.get("pandas_orient") == "split":
            names = [str(name) for name in example["columns"]]
            return [dict(zip(names, row, strict=True)) for row in example["data"][:_MAX_EXAMPLES]]
        return list(example["inputs"][:_MAX_EXAMPLES]) if told.get("type") == "ndarray" else []
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return []


def _schema(inputs: tuple[Field, ...]) -> Mapping[str, Any]:
    if any(column.name is None for column in inputs):
        fragments = [_fragment(column) for column in inputs]
        if len(inputs) == 1:
            return fragments[0]
        rules = fragments[0] if all(f == fragments[0] for f in fragments) else {}
        return _list(rules, len(inputs))
    return {
        "type": "object",
        "properties": {str(column.name): _fragment(column) for column in inputs},
        "required": [column.name for column in inputs if column.required],
    }


def _fragment(column: Field) -> dict[str, Any]:
    """The JSON Schema of what one record has of `column`."""
    if column.shape is not None:
        fragment = dict(_TYPES.get(_KINDS.get(_digitless(column.type), ""), {}))
        sizes = column.shape[1:] if column.shape[:1] == (-1,) else column.shape
        for size in reversed(sizes):
            fragment = _list(fragment, None if size == -1 else size)
        return fragment
    fragment = _of_type(column.type)
    return fragment if column.required else _or_null(fragment)


def _of_type(kind: Any) -> dict[str, Any]:
    if not isinstance(kind, Mapping):
        return dict(_TYPES.get(kind, {}))
    if kind.get("type") == "array":
        return _list(_of_type(_inner(kind.get("items"))))
    if kind.get("type") == "map":
        return {"type": "object", "additionalProperties": _of_type(_inner(kind.get("values")))}
    properties = kind.get("properties")
    if not isinstance(properties, Mapping):
        return {"type": "object"}
    return {
        "type": "object",
        "properties": {str(n): _of_type(_inner(p)) for n, p in properties.items()},
        "required": [str(n) for n, p in properties.items() if p.get("required", True)],
    }


def _inner(items: Any) -> Any:
    """`{"type": "long"}` is `long`; what nests further stays a mapping."""
    is_plain = isinstance(items, Mapping) and items.get("type") not in ("array", "map", "object")
    return items["type"] if is_plain else items


def _or_null(fragment: dict[str, Any]) -> dict[str, Any]:
    kind = fragment.get("type")
    if isinstance(kind, str):
        fragment["type"] = [kind, "null"]
    return fragment


def _list(items: Mapping[str, Any], size: int | None = None) -> dict[str, Any]:
    sizes = {} if size is None else {"minItems": size, "maxItems": size}
    return {"type": "array", "items": dict(items), **sizes}


def _digitless(dtype: str) -> str:
    return re.sub(r"[\d\[].*", "", dtype)
