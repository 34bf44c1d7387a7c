"""ONNX models by onnxruntime: every tensor type and rank, and the maps of classifiers."""

from __future__ import annotations

import ctypes
import math
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.errors import ModelInvalid
from app.manifest import Manifest
from app.runtimes import declared_rank, signed
from app.schema import Schema
from app.schema.examples import records
from app.tensors import Array, Batch, Prediction, Signature, TensorSpec, storage

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read by onnxruntime when it is imported
import onnxruntime as ort  # after the line above, on purpose

_DTYPES: Final = {
    "bfloat16": "bfloat16",
    "bool": "bool",
    "double": "float64",
    "float": "float32",
    "float16": "float16",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "int8": "int8",
    "string": "string",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
    "uint8": "uint8",
}
"""onnxruntime's tensor(...) -> ours. The 8-bit floats have no numpy form and are refused."""

_BFLOAT16: Final = 16
"""TensorProto.DataType.BFLOAT16 (onnx.proto3)."""

_PROVIDERS: Final = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""What computes a graph: the first that onnxruntime was built with, the rest what that cannot."""
_NOT_FOR_CLIENTS: Final = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : "
    r"|Load model from .* failed: ?"
    r"|/onnxruntime_src/\S+:\d+ .*?\) (?=[A-Z])"
    r'| (?:resolved path|allowed directory): "[^"]*"'
)
"""Of the messages of onnxruntime's errors."""


class OnnxModel:
    """One inference session; it is safe to run from several threads."""

    is_steady = True

    def __init__(self, session: Any, manifest: Manifest) -> None:
        self._session = session
        # The session's own method looks at the names of the feeds each time, which we know to be
        # right: that takes as long as a small model.
        self._run = session._sess.run
        self._graph = _inputs(session, manifest)
        outputs = tuple(_spec(node, is_output=True) for node in session.get_outputs())
        self._maps = frozenset(
            o.name for o in session.get_outputs() if o.type.startswith("seq(map")
        )
        self._dtypes = {spec.name: storage(spec.dtype) for spec in self._graph}
        self._exotic = any(s.dtype == "bfloat16" for s in (*self._graph, *outputs))
        if self._exotic and any(spec.dtype == "string" for spec in self._graph):
            raise ModelInvalid("onnxruntime takes no text from Python beside bfloat16")
        self.signature = self._signed(outputs, manifest, classes=manifest.classes)
        if self._maps and not manifest.classes:
            self.signature = self._signed(outputs, manifest, classes=self._classes())

    def _signed(
        self, outputs: tuple[TensorSpec, ...], manifest: Manifest, classes: tuple[Any, ...]
    ) -> Signature:
        aliases = _classifier_names(outputs)
        result = manifest.result or aliases.get("label") or outputs[0].name
        names = {spec.name for spec in outputs} | aliases.keys()
        if result not in names:
            known = ", ".join(spec.name for spec in outputs)
            raise ModelInvalid(f"manifest.yaml: the model has no output {result!r}; it has {known}")
        guessed = tuple(spec.name for spec in self._graph if not spec.shape)
        graph = Signature(
            self._graph, outputs, result=result, aliases=aliases, classes=classes, guessed=guessed
        )
        return signed(graph, manifest)

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """Blocking; onnxruntime lets go of the interpreter meanwhile."""
        feeds = self._feeds(batch)
        if self._exotic:
            values = self._run_exotic(feeds, outputs)
        else:
            values = self._run(outputs, feeds, None)
        found: Prediction = dict(zip(outputs, values, strict=True))
        if self._maps:
            for name in self._maps.intersection(outputs):
                found[name] = self._matrix(found[name])
        return found

    def _feeds(self, batch: Batch) -> dict[str, Array]:
        arrays = batch.arrays
        if len(self._graph) == 1 and self._graph[0].name not in arrays:
            spec = self._graph[0]
            return {spec.name: batch.matrix(list(arrays), spec.dtype)}
        return {name: np.asarray(arrays[name], dtype) for name, dtype in self._dtypes.items()}

    def _run_exotic(self, feeds: dict[str, Array], outputs: tuple[str, ...]) -> list[Any]:
        """bfloat16 has no numpy type: its upper halves of float32 travel as OrtValues."""
        values = {}
        for spec in self._graph:
            array = np.ascontiguousarray(feeds[spec.name])
            if spec.dtype == "bfloat16":
                values[spec.name] = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
                    _to_bfloat16(array), _BFLOAT16
                )
            else:
                values[spec.name] = ort.OrtValue.ortvalue_from_numpy(array)
        return [_from_ortvalue(v) for v in self._session.run_with_ort_values(outputs, values)]

    def _matrix(self, maps: list[dict[Any, float]]) -> Array:
        """ZipMap's sequence of maps as `(rows, classes)`."""
        classes = self.signature.classes or (tuple(maps[0]) if maps else ())
        keys = list(maps[0]) if maps else list(classes)
        rows = [[row[k] for k in keys] for row in maps]
        return np.array(rows, dtype=np.float32).reshape(len(maps), len(keys))

    def _classes(self) -> tuple[Any, ...]:
        """The keys of a ZipMap, which only a prediction tells."""
        name = next(iter(self._maps))
        try:
            batch, _ = Schema(self.signature).decode(records(self.signature, 1))
            (maps,) = self._session.run([name], self._feeds(batch))
        except Exception:  # noqa: BLE001  # the check at load tells what is wrong with such a model
            return ()
        return tuple(maps[0])


def load(manifest: Manifest, threads: int, untrusted: str = "") -> OnnxModel:
    """See `runtimes.Load`; a graph is no code. onnxruntime does not heed OMP_NUM_THREADS."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it keeps what the largest batch ever needed
    options.enable_mem_pattern = False  # likewise, once more for each number of rows
    options.log_severity_level = 4  # what goes wrong is raised, and logged once
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    available = ort.get_available_providers()
    providers = [provider for provider in _PROVIDERS if provider in available]
    try:
        session = ort.InferenceSession(str(manifest.file), options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no class but this one
        reason = _reason(error, manifest.folder)
        raise ModelInvalid(f"onnxruntime cannot load {manifest.file.name}: {reason}") from error
    return OnnxModel(session, manifest)


def _reason(error: Exception, folder: Path) -> str:
    """onnxruntime's own words, without its codes, its source lines and any path of this machine."""
    text = _NOT_FOR_CLIENTS.sub("", " ".join(str(error).split()))
    for place in (folder, folder.resolve()):
        text = text.replace(f"{place}{os.sep}", "").replace(str(place), "the model folder")
    return text


def _inputs(session: Any, manifest: Manifest) -> tuple[TensorSpec, ...]:
    """onnxruntime tells no axes of a scalar, and none where the rank is unknown: a schema may."""
    inputs = tuple(_spec(node) for node in session.get_inputs())
    if manifest.schema is None or any(spec.shape for spec in inputs):
        return inputs
    if len(inputs) == 1:
        rank = 1 + declared_rank(manifest.schema)
        return (replace(inputs[0], shape=(None,) * rank),)
    columns = manifest.schema.get("properties", {})
    ranks = {name: 1 + declared_rank(fragment) for name, fragment in columns.items()}
    return tuple(replace(s, shape=(None,) * ranks.get(s.name, 0)) for s in inputs)


def _spec(node: Any, *, is_output: bool = False) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in node.shape or ())
    if is_output and node.type.startswith("seq(map"):
        return TensorSpec(node.name, "float32", (None, None))
    inner = node.type.removeprefix("tensor(").removesuffix(")")
    dtype = _DTYPES.get(inner)
    if dtype is None and not is_output:
        raise ModelInvalid(f'the input "{node.name}" is a {node.type}, which cannot be served')
    return TensorSpec(node.name, dtype or "any", shape)


def _classifier_names(outputs: tuple[TensorSpec, ...]) -> dict[str, str]:
    """`label` and `probabilities` for the two outputs that converters give a classifier."""
    if len(outputs) != 2:
        return {}
    label, scores = outputs
    is_label = label.dtype in ("int64", "string") and len(label.shape) == 1
    is_scores = scores.dtype in ("float32", "float64") and len(scores.shape) == 2
    return {"label": label.name, "probabilities": scores.name} if is_label and is_scores else {}


def _to_bfloat16(array: Array) -> Array:
    """Rounded to nearest even, as IEEE 754 asks."""
    bits = array.astype(np.float32, copy=False).view(np.uint32)
    rounded: Array = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return rounded


def _from_ortvalue(value: Any) -> Any:
    if not value.is_tensor() or value.element_type() != _BFLOAT16:
        return value.numpy()
    shape = tuple(value.shape())
    buffer = (ctypes.c_uint16 * math.prod(shape)).from_address(value.data_ptr())
    bits = np.frombuffer(buffer, dtype=np.uint16).astype(np.uint32)
    return (bits << 16).view(np.float32).reshape(shape)
