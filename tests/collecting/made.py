"""What tests of collecting share: records, and a place that can be slow or away."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from app.collecting.record import Columns, Record
from app.collecting.rule import Rule
from app.tensors import Array, Batch, Call, ModelRef, Signature, TensorSpec

REF = ModelRef("default", "churn", "2")
SALT = b"not so secret"


def signature(
    inputs: Mapping[str, Array], outputs: Mapping[str, Array], **aliases: str
) -> Signature:
    def specs(arrays: Mapping[str, Array]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name, "any", (None,)) for name in arrays)

    result = next(iter(outputs), "y")
    return Signature(specs(inputs), specs(outputs), result=result, aliases=aliases)


def record(
    inputs: Mapping[str, Array] | None = None,
    outputs: Mapping[str, Array] | None = None,
    rule: Rule | None = None,
    *,
    request_id: bytes = b"id",
    time_s: float = 0.0,
    size_bytes: int = 1,
    asked: tuple[str, ...] | None = None,
    **aliases: str,
) -> Record:
    """Of one row with x = 1 and y = 2, unless told otherwise."""
    given = dict(inputs) if inputs is not None else {"x": np.array([1.0])}
    made = dict(outputs) if outputs is not None else {"y": np.array([2.0])}
    rows = len(next(iter(given.values()), ()))
    call = Call(Batch(given, rows), single=True, outputs=asked)
    what = Columns(call, made, signature(given, made, **aliases), rule or Rule("file:///nowhere"))
    return Record(time_s, request_id, REF, what, size_bytes)


def line(made: Record) -> dict[str, Any]:
    text = made.line()
    assert text.endswith(b"}\n")
    assert text.count(b"\n") == 1
    told = orjson.loads(text)
    assert isinstance(told, dict)
    return told


class Place:
    """A `Target` in memory. Waits while its gate is closed; raises `error`, if there is one."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.error: Exception | None = None
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.is_closed = False

    def append(self, path: str, lines: bytes) -> None:
        self.entered.set()
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        self.files[path] = self.files.get(path, b"") + lines

    def close(self) -> None:
        self.is_closed = True

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(each) for file in self.files.values() for each in file.splitlines()]
