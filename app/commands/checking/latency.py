"""How quick a loaded model is: decode, predict and encode on one thread, as for a request."""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.batching import Predicted
from app.commands.checking.telling import Telling
from app.engine import Query
from app.loader import Loaded
from app.options import most_rows
from app.protocols.score import ScoreCodec
from app.schema.examples import records
from app.tensors import Call

_ONE_S: Final = 0.4
_BATCH_S: Final = 0.3
"""What is spent on one row, and on each size of batch."""
_LEAST: Final = 3
"""Calls, however long they take."""
_LONGEST_S: Final = 3.0
"""A batch that would take so long for the least number of calls is not measured."""
_SOME_ROWS: Final = 32


@dataclass(frozen=True, slots=True)
class Timing:
    """Some calls of the same request."""

    phases: tuple[tuple[float, float, float], ...]
    """Seconds of decode, predict and encode, of each call."""
    wall_s: float
    cpu_s: float
    """Of all threads together."""

    def quantile_s(self, share: float) -> float:
        """Of whole calls."""
        whole = sorted(map(sum, self.phases))
        return whole[min(len(whole) - 1, int(share * len(whole)))]

    def medians_us(self) -> list[float]:
        """Of each phase."""
        columns = zip(*self.phases, strict=True)
        return [sorted(column)[len(self.phases) // 2] * 1e6 for column in columns]

    def per_s(self) -> float:
        """Requests that one core can answer in a second."""
        return len(self.phases) / max(self.wall_s, self.cpu_s)


def tell_speed(loaded: Loaded, telling: Telling) -> None:
    """One row, some rows and as many as are joined; how much one core can do."""
    data = None if loaded.schema.signature.kind == "raw" else _answered(loaded)
    if data is None:
        text = "not measured: no request is known; an example in schema.json would be one"
        telling.warn("latency", text)
        return
    timing = measured(loaded, orjson.dumps({"data": data}), _ONE_S)
    _tell_one(timing, telling)
    one_s = timing.quantile_s(0.5)
    if loaded.schema.signature.batched:
        most = most_rows(loaded.options, loaded.manifest)
        for rows in sorted({_SOME_ROWS, most} - {1}):
            one_s = _tell_batch(loaded, data, rows, one_s, telling)


def measured(loaded: Loaded, body: bytes, budget_s: float) -> Timing:
    """Calls with `body`, for as long as `budget_s` lasts; at least three."""
    phases: list[tuple[float, float, float]] = []
    cpu_s, started = time.process_time(), time.perf_counter()
    while len(phases) < _LEAST or time.perf_counter() - started < budget_s:
        phases.append(_call(loaded, body))
    return Timing(tuple(phases), time.perf_counter() - started, time.process_time() - cpu_s)


async def _nothing() -> MutableMapping[str, Any]:
    """Of a body that is here already."""
    raise AssertionError


def _call(loaded: Loaded, body: bytes) -> tuple[float, float, float]:
    codec, schema = ScoreCodec(), loaded.schema
    began = time.perf_counter()
    call = codec.decode(body, schema, Query(None, None, None, _nothing, len(body), None))
    decoded = time.perf_counter()
    prediction = loaded.model.predict(call.batch, schema.wanted(call))
    predicted = time.perf_counter()
    codec.encode(call, Predicted(prediction, decoded, predicted, call.batch.rows), loaded)
    return decoded - began, predicted - decoded, time.perf_counter() - predicted


def _tell_one(timing: Timing, telling: Telling) -> None:
    p50, p99 = timing.quantile_s(0.5) * 1e6, timing.quantile_s(0.99) * 1e6
    decode, predict, encode = timing.medians_us()
    calls = len(timing.phases)
    telling.ok(
        "latency",
        f"one row: p50 {p50:,.0f} us, p99 {p99:,.0f} us (decode {decode:,.0f}, predict "
        f"{predict:,.0f}, encode {encode:,.0f}; {calls:,} calls)",
        p50_us=round(p50, 1),
        p99_us=round(p99, 1),
        calls=calls,
    )
    telling.ok(
        "latency",
        f"one core: {timing.per_s():,.0f} requests of one row a second, by these three alone; "
        "HTTP costs extra",
        requests_per_s=round(timing.per_s(), 1),
    )


def _tell_batch(loaded: Loaded, data: Any, rows: int, row_s: float, telling: Telling) -> float:
    """Seconds of one of its rows; as before where it is not measured."""
    name = f"{rows:,} rows"
    body = orjson.dumps({"data": [data] * rows})
    try:
        first_s = sum(_call(loaded, body)) if row_s * rows < _LONGEST_S else row_s * rows
        if first_s * _LEAST > _LONGEST_S:
            telling.ok("latency", f"{name}: not measured, it would take {first_s:.1f} s a call")
            return row_s
        timing = measured(loaded, body, _BATCH_S)
    except Exception as error:  # noqa: BLE001  # a model may raise anything
        telling.warn("latency", f"{name}: it raised {type(error).__name__}: {error}"[:300])
        return row_s
    whole_s = timing.quantile_s(0.5)
    text = f"{name}: p50 {whole_s * 1e6:,.0f} us, {whole_s / rows * 1e6:,.2f} us a row"
    per_row = {f"rows_{rows}_us_per_row": round(whole_s / rows * 1e6, 3)}
    telling.ok("latency", f"{text} ({len(timing.phases):,} calls)", **per_row)
    return whole_s / rows


def _answered(loaded: Loaded) -> Any:
    """One record that the model answers, of its golden file or made up; None: none is known."""
    for data in _records(loaded):
        try:
            call = loaded.schema.call({"data": data})
            if _is_one(call, loaded):
                _call(loaded, orjson.dumps({"data": data}))
                return data
        except Exception:  # noqa: BLE001, S112  # a model may raise anything
            continue
    return None


def _is_one(call: Call, loaded: Loaded) -> bool:
    return call.single or not loaded.schema.signature.batched


def _records(loaded: Loaded) -> Iterator[Any]:
    names = ("data", "input_data", *loaded.schema.signature.input_names)
    if loaded.manifest.golden is not None:
        for entry in orjson.loads(loaded.manifest.golden.read_bytes()):
            request = entry["request"]
            data = next((request[name] for name in names if name in request), None)
            yield data
            if isinstance(data, list) and data:
                yield data[0]
    yield from records(loaded.schema.signature, 1)
