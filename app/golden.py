"""The last step of a load: does the model give its known answers, and may its calls be joined."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from app.differences import differences
from app.errors import GoldenMismatch, ModelInvalid, ServingError
from app.schema import Schema
from app.schema.examples import records
from app.schema.results import plain, results
from app.tensors import Batch, Call, Model, Prediction, RawBatch, RawRequest

logger = logging.getLogger(__name__)

JOIN_TOLERANCE: Final = 1e-5
"""Relative difference between a joint and a single prediction that still counts as equal."""
DEFAULT_TOLERANCE: Final = 1e-6
_SHOWN: Final = 5
"""Differences told of one golden file."""
_PROBE_ROWS: Final = 8
_JSON: Final = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check at load found."""

    checked: str
    """What was compared, for people: `golden: 4 requests`."""
    joinable: bool
    joining: str
    """Why calls are joined or not, for people."""
    predict_s: float
    """One warm call with one row; infinite when nothing was predicted."""

    @property
    def has_predicted(self) -> bool:
        """The model has answered at least once."""
        return math.isfinite(self.predict_s)


def check(model: Model, schema: Schema, golden: Path | None) -> Verdict:
    """Warm the model and compare. Blocking; called in a loading thread.

    Raises:
        GoldenMismatch: the first differences from the golden file, each with its place.
        ModelInvalid: the golden file cannot be read, or the first prediction of a model whose
            schema leaves nothing to guess fails, or gives values that are not finite.
    """
    if model.signature.kind == "raw":
        return _check_script(model, golden)
    if golden is not None:
        calls = _compare(model, schema, golden)
        checked = f"golden: {len(calls)} requests"
        batches = [call.batch for call in calls]
    else:
        batches, checked = _synthesise(model, schema)
    if not batches:
        return Verdict(checked, False, "off: no payload is known to compare by", math.inf)
    predict_s = _time(model, schema, batches[0])
    joinable, joining = _joinable(model, schema, batches)
    return Verdict(checked, joinable, joining, predict_s)


def _compare(model: Model, schema: Schema, golden: Path) -> list[Call]:
    found: list[str] = []
    calls = []
    for number, entry in enumerate(_entries(golden)):
        try:
            call = schema.call(entry["request"])
            got = answer(model, schema, call)
        except ServingError as error:
            found.append(f"request {number}: {error}")
            continue
        except Exception as error:
            logger.exception("golden request %s raised", number)
            found.append(f"request {number}: the model raised {type(error).__name__}")
            continue
        calls.append(call)
        tolerance = float(entry.get("tolerance", DEFAULT_TOLERANCE))
        found += [
            f"request {number}, {difference}"
            for difference in differences(
                got,
                entry["results"],
                tolerance,
                by_row=not call.single,
                by_output=call.outputs is not None,
            )
        ]
    if found:
        more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
        raise GoldenMismatch(f"golden.json: {'; '.join(found[:_SHOWN])}{more}")
    return [call for call in calls if call.batch.rows]


def _check_script(model: Model, golden: Path | None) -> Verdict:
    """Answers as JSON, compared with `results`; scripts without a golden file are not asked."""
    joining = "off: requests of a script are never joined"
    if golden is None:
        return Verdict("its init() returned", False, joining, math.inf)
    found, spent_s = [], math.inf
    entries = _entries(golden)
    for number, entry in enumerate(entries):
        try:
            got, spent_s = _asked(model, entry["request"])
        except (ServingError, ValueError) as error:
            found.append(f"request {number}: {error}")
            continue
        tolerance = float(entry.get("tolerance", DEFAULT_TOLERANCE))
        found += [
            f"request {number}, {difference}"
            for difference in differences(got, entry["results"], tolerance)
        ]
    if found:
        raise GoldenMismatch(f"golden.json: {'; '.join(found[:_SHOWN])}")
    return Verdict(f"golden: {len(entries)} requests", False, joining, spent_s)


def _asked(model: Model, document: Any) -> tuple[Any, float]:
    """The answer of a script, and what it took. Raises: ValueError: it is none, or no JSON."""
    request = RawRequest("POST", "/score", b"", [_JSON], orjson.dumps(document))
    started = time.perf_counter()
    reply = model.predict(RawBatch.of_request(request), ("reply",))["reply"]
    if reply.status != 200 or not isinstance(reply.body, bytes):
        raise ValueError(f"it answered with status {reply.status}")
    return orjson.loads(reply.body), time.perf_counter() - started


def _entries(golden: Path) -> list[dict[str, Any]]:
    try:
        entries = orjson.loads(golden.read_bytes())
    except ValueError as error:
        raise ModelInvalid(f"golden.json is not JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise ModelInvalid("golden.json must be a list of at least one request with its results")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"request", "results"} <= entry.keys():
            raise ModelInvalid(f"golden.json: entry {number} needs request and results")
        tolerance = entry.get("tolerance", DEFAULT_TOLERANCE)
        if type(tolerance) not in (int, float) or tolerance < 0:
            raise ModelInvalid(f"golden.json: the tolerance of entry {number} must be a number")
    return entries


def answer(model: Model, schema: Schema, call: Call) -> Any:
    """The `results` of one call as a client would read them."""
    prediction = model.predict(call.batch, schema.wanted(call)) if call.batch.rows else {}
    return plain(results(prediction, call, schema.signature))


def _synthesise(model: Model, schema: Schema) -> tuple[list[Batch], str]:
    """Made-up rows must run and give finite values, one per row, unless the types are a guess."""
    made = records(schema.signature, 2)
    outputs = tuple(spec.name for spec in schema.signature.outputs)
    try:
        batches = [schema.decode([r] if schema.signature.batched else r)[0] for r in made]
        for batch in batches:
            _refuse_unfit(model.predict(batch, outputs), batch, schema)
    except Exception as error:
        reason = str(error) if isinstance(error, ServingError) else f"{type(error).__name__} raised"
        if schema.signature.guessed or _has_free_axes(schema):
            logger.warning("made-up rows do not run (%s); add a golden.json", reason)
            return [], f"not checked: made-up rows do not run ({reason})"
        logger.warning("the first prediction failed", exc_info=error)
        raise ModelInvalid(f"the first prediction, of made-up rows, failed: {reason}") from error
    return batches, f"made-up rows: {len(batches)}"


def _has_free_axes(schema: Schema) -> bool:
    """An axis other than rows may have any length, and which ones the model takes is a guess."""
    signature = schema.signature
    return any(None in spec.shape[signature.batched :] for spec in signature.inputs)


def _refuse_unfit(prediction: Prediction, batch: Batch, schema: Schema) -> None:
    for name, output in prediction.items():
        if not isinstance(output, np.ndarray):
            continue
        if schema.signature.batched and output.shape[:1] != (batch.rows,):
            logger.warning("output %s has not one entry per row", name)
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            raise ModelInvalid(f"output {name} is not finite")


def _time(model: Model, schema: Schema, batch: Batch) -> float:
    outputs = schema.signature.canonical((schema.signature.result,))
    one = _rows(batch, 0, 1) if schema.signature.batched else batch
    try:
        model.predict(one, outputs)
    except Exception:  # noqa: BLE001  # it takes no single row; those it takes were checked
        one = batch
    times = []
    for _ in range(3):
        started = time.perf_counter()
        model.predict(one, outputs)
        times.append(time.perf_counter() - started)
    return min(times)


def _rows(batch: Batch, start: int, stop: int) -> Batch:
    arrays = {name: array[start:stop] for name, array in batch.arrays.items()}
    return Batch(arrays, max(0, min(stop, batch.rows) - start))


def _joinable(model: Model, schema: Schema, batches: list[Batch]) -> tuple[bool, str]:
    """predict(A) and predict(B) against predict(A + B)."""
    if not schema.signature.batched:
        return False, "off: an input has a fixed first axis"
    parts = _unlike(batches) or _unlike([*batches[:1], *_made_up(schema)])
    if parts is None:
        return False, "off: no two different rows are known to compare by"
    first, second = parts
    outputs = tuple(spec.name for spec in schema.signature.outputs)
    try:
        apart = [model.predict(first, outputs), model.predict(second, outputs)]
        joint = model.predict(Batch.join([first, second]), outputs)
    except Exception as error:  # noqa: BLE001  # a model may raise anything
        return False, f"off: a joint call raised {type(error).__name__}"
    for name, output in joint.items():
        pieces = [prediction[name] for prediction in apart]
        if not all(isinstance(o, np.ndarray) and o.ndim for o in (output, *pieces)):
            return False, f"off: output {name} has not one entry per row"
        if not _same(np.concatenate(pieces), output):
            return False, f"off: output {name} of a row depends on the other rows"
    return True, "on: joint and single predictions agree"


def _unlike(batches: list[Batch]) -> tuple[Batch, Batch] | None:
    """The first row, and rows that begin with another: equal rows would not show mixing."""
    key = batches[0].row_key()
    known = Batch.join([_rows(b, 0, _PROBE_ROWS) for b in batches if b.row_key() == key])
    first = _rows(known, 0, 1)
    for start in range(1, known.rows):
        other = _rows(known, start, start + 1)
        if not all(_same(first.arrays[name], other.arrays[name]) for name in first.arrays):
            return first, _rows(known, start, start + _PROBE_ROWS)
    return None


def _made_up(schema: Schema) -> list[Batch]:
    try:
        return [schema.decode([record])[0] for record in records(schema.signature, 2)]
    except ServingError:
        return []


def _same(apart: Any, joint: Any) -> bool:
    if apart.shape != joint.shape:
        return False
    if apart.dtype.kind == "f":
        return bool(np.allclose(joint, apart, rtol=JOIN_TOLERANCE, atol=1e-12, equal_nan=True))
    return bool(np.array_equal(apart, joint))
