"""One request and its answer, as a line of JSON. Pure."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import orjson

from app.collecting.rule import Rule
from app.schema.results import plain, results
from app.tensors import Call, ModelRef, Prediction, RawBatch, Reply, Signature

TEXT_BYTES: Final = 64 * 1024
"""What is kept of a text that a script was sent, or has sent."""
_VALUE_BYTES: Final = 64
"""What a value takes that is no number; a guess, since nobody looks at each."""
_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class Content(Protocol):
    """What was said."""

    @property
    def size_bytes(self) -> int:
        """About what it takes of memory."""
        ...

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """Its keys in the line, each with its JSON."""
        ...


@dataclass(slots=True)
class Record:
    """One answered request."""

    time_s: float
    """When it was answered, since the epoch."""
    request_id: bytes
    ref: ModelRef
    content: Content
    size_bytes: int
    """About what it takes of memory."""

    @property
    def folder(self) -> str:
        """Where its line belongs: by model, version and hour (UTC)."""
        hour = time.strftime("%Y/%m/%d/%H", time.gmtime(self.time_s))
        return f"{self.ref.name}/{self.ref.version}/{hour}"

    def line(self) -> bytes:
        """With its line feed."""
        millis = int(self.time_s * 1000)
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(millis // 1000))
        head = {
            "time": f"{at}.{millis % 1000:03}Z",
            "request_id": self.request_id.decode("latin-1"),
            "model": self.ref.name,
            "version": self.ref.version,
        }
        parts = b"".join(b',"%s":%s' % (key.encode(), value) for key, value in self.content.parts())
        return orjson.dumps(head)[:-1] + parts + b"}\n"


@dataclass(slots=True)
class Columns:
    """Of a native model: its inputs and outputs by name, each with a value for each row."""

    call: Call
    prediction: Prediction
    signature: Signature
    rule: Rule

    @property
    def size_bytes(self) -> int:
        """See `Content`."""
        values = (*self.call.batch.arrays.values(), *self.prediction.values())
        return sum(map(_size_bytes, values))

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """See `Content`; outputs are those that the client was given."""
        batch = self.call.batch
        asked = self.call.outputs or (self.signature.result,)
        outputs = results(self.prediction, Call(batch, False, asked), self.signature)
        yield "rows", b"%d" % batch.rows
        yield "inputs", self._columns(batch.arrays.items())
        yield "outputs", self._columns(outputs.items())

    def _columns(self, columns: Iterable[tuple[str, Any]]) -> bytes:
        """Made one by one, so that other threads get their turns in between."""
        aliases = self.signature.aliases
        dropped = {aliases.get(name, name) for name in self.rule.drop}
        hashed = {aliases.get(name, name) for name in self.rule.hash}
        made = []
        for name, values in columns:
            known = aliases.get(name, name)
            if known not in dropped:
                shown = self.rule.hashed(values) if known in hashed else values
                made.append(_json(name) + b":" + _json(shown))
        return b"{%s}" % b",".join(made)


@dataclass(slots=True)
class Texts:
    """Of a script: what it was sent and what it answered, where these are texts."""

    query: bytes
    request: bytes
    status: int
    answer: bytes | None
    """None: it came in parts, which are not kept."""
    cut: tuple[str, ...]
    """Which of the two is longer than this."""

    @classmethod
    def of(cls, batch: RawBatch, reply: Reply) -> Texts:
        """The beginnings of both."""
        request, answer = batch.request.body, reply.body
        told = answer[:TEXT_BYTES] if isinstance(answer, bytes) else None
        cut = ["inputs"] if len(request) > TEXT_BYTES else []
        if isinstance(answer, bytes) and len(answer) > TEXT_BYTES:
            cut.append("outputs")
        query = batch.request.query[:TEXT_BYTES]
        return cls(query, request[:TEXT_BYTES], reply.status, told, tuple(cut))

    @property
    def size_bytes(self) -> int:
        """See `Content`."""
        return len(self.query) + len(self.request) + len(self.answer or b"")

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """See `Content`."""
        yield "status", b"%d" % self.status
        if self.query:
            yield "query", _json(self.query.decode("latin-1"))
        yield "inputs", _json(_text(self.request, is_cut="inputs" in self.cut))
        yield "outputs", _json(_text(self.answer, is_cut="outputs" in self.cut))
        if self.cut:
            yield "cut", _json(self.cut)


@dataclass(slots=True)
class Table:
    """What a script has handed over by itself: the JSON of a table, as pandas splits it."""

    name: str
    text: bytes
    rule: Rule

    @property
    def size_bytes(self) -> int:
        """See `Content`."""
        return len(self.text)

    def parts(self) -> Iterator[tuple[str, bytes]]:
        """See `Content`. Raises: ValueError, KeyError: it is none."""
        table = orjson.loads(self.text)
        rows = table["data"]
        columns = {
            str(name): [row[at] for row in rows]
            for at, name in enumerate(table["columns"])
            if str(name) not in self.rule.drop
        }
        for name in self.rule.hash & columns.keys():
            columns[name] = self.rule.hashed(columns[name])
        yield "collection", _json(self.name)
        yield "rows", b"%d" % len(rows)
        yield "data", _json(columns)


def _json(value: Any) -> bytes:
    """As the client would read it."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "fiub" and value.ndim and value.dtype.itemsize <= 8:
            value = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
        else:
            value = plain(value)
    return orjson.dumps(value, default=str, option=_OPTIONS)


def _text(told: bytes | None, *, is_cut: bool) -> str | None:
    """None for what is none; a character that was cut through is left out."""
    if told is None:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(told, final=not is_cut)
    except UnicodeDecodeError:
        return None


def _size_bytes(values: Any) -> int:
    if isinstance(values, np.ndarray):
        return values.size * _VALUE_BYTES if values.dtype.hasobject else values.nbytes
    return len(values) * _VALUE_BYTES if isinstance(values, Sized) else _VALUE_BYTES
