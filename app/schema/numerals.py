"""The text of many numbers -> an array, without a Python number for each of them.

simdjson reads the numbers, exactly rounded as Python does, and forgets how they were nested: the
lengths of all lists are looked at beside it. What is not plainly right gives nothing here.
simdjson is imported at the first large body; without it all goes the slower way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import chain
from typing import Any, Final, Protocol

import numpy as np
import orjson

from app.schema.numbers import Shape
from app.tensors import Array

MIN_BYTES: Final = 16 * 1024
"""Of bodies that gain by it."""
PIECE_BYTES: Final = 1024 * 1024
"""About 2 ms of reading, in which no other thread runs."""
_MAX_REST: Final = 16 * 1024
"""Bytes of a request before its numbers, and behind them."""
_HEAD: Final = re.compile(rb'"(data|input_data)"[ \t\r\n]*:[ \t\r\n]*(?=\[)')
_OPENING: Final = re.compile(rb"(?:\[[ \t\r\n]*)+")
_TO_LIST: Final = re.compile(rb"[ \t\r\n]*(?=\[)")
_BLANK: Final = b" \t\r\n"
_HELD: Final = {"f": ("d", np.float64), "i": ("i", np.int64), "u": ("u", np.uint64)}
"""Kind of a numpy type -> simdjson's code for one that holds it, and numpy's."""


class _List(Protocol):
    """A list as simdjson holds it."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[_List]: ...

    def as_buffer(self, *, of_type: str) -> bytes: ...


class _Parser(Protocol):
    def parse(self, text: bytes | memoryview) -> _List: ...


class _Odd(Exception):
    """Not plainly an array of the right shape."""


class Numerals:
    """Reads such requests; used by many threads."""

    def __init__(self, shape: Shape) -> None:
        self._sizes = shape.sizes
        self._dtype = shape.dtype
        self._of_type, self._held = _HELD[shape.dtype.kind]
        self._lists = sum(math.prod(shape.sizes[:axis]) for axis in range(len(shape.sizes)))

    def loads(self, body: bytes) -> dict[str, Any] | None:
        """The request, with what `Numbers.read` gives of its data in place of them."""
        head = _HEAD.search(body, 0, _MAX_REST)
        if head is None:
            return None
        start, quote = head.end(), body.find(b'"', head.end())
        end = body.rfind(b"]", start, quote if quote >= 0 else len(body)) + 1
        if end <= start or len(body) - end > _MAX_REST:
            return None
        rest = b"%bnull%b" % (body[:start], body[end:])
        # Without escapes, and with one such key only, there is but one value that it can have.
        if b"\\" in rest or rest.count(b'data"') != 1:
            return None
        key = head[1].decode()
        try:
            request = orjson.loads(rest)
            if isinstance(request, dict) and key in request:
                request[key] = self._array(body, start, end)
                return request
        except (orjson.JSONDecodeError, ImportError, _Odd):
            pass
        return None

    def _array(self, body: bytes, start: int, end: int) -> tuple[Array, bool]:
        opening = _OPENING.match(body, start)
        depth = 0 if opening is None else opening[0].count(b"[")
        rows, odd = 1, _lists(body, start, end) - self._lists
        if depth == len(self._sizes) + 1:
            rows, odd = divmod(odd + self._lists - 1, self._lists)
        elif depth != len(self._sizes):
            raise _Odd
        if odd or not rows or 2 * rows * math.prod(self._sizes) > end - start:
            raise _Odd
        array = np.empty((rows, *self._sizes), self._dtype)
        single = depth == len(self._sizes)
        inner = array[0] if single else array
        while inner.ndim > 1 and len(inner) == 1:  # else it could not be cut
            start, end = _trimmed(body, start + 1, end - 1)
            inner = inner[0]
        parser: _Parser = import_module("simdjson").Parser()
        self._fill(inner.reshape(-1), inner.shape, parser, body, start, end)
        return array, single

    def _fill(
        self,
        flat: Array,
        shape: tuple[int, ...],
        parser: _Parser,
        body: bytes,
        start: int,
        end: int,
    ) -> None:
        """Read the list from `start` to `end`, of that shape. Raises: _Odd."""
        at = 0
        if len(shape) > 1 and end - start > 4 * PIECE_BYTES * shape[0]:
            for first, last in _cut(body, start, end, len(shape) - 1, 0):
                till = at + math.prod(shape[1:])
                self._fill(flat[at:till], shape[1:], parser, body, *_trimmed(body, first, last))
                at = till
        else:
            for text in _pieces(body, start, end, shape):
                at += self._piece(flat[at:], shape[1:], parser, text)
        if at != len(flat):
            raise _Odd

    def _piece(
        self, flat: Array, sizes: Sequence[int], parser: _Parser, text: bytes | memoryview
    ) -> int:
        """Read one list of values of `sizes`; how many numbers they hold. Raises: _Odd."""
        try:
            lists = [parsed := parser.parse(text)]
            for size in sizes:
                lists = list(chain.from_iterable(lists))
                if set(map(len, lists)) != {size}:
                    raise _Odd
            read = np.frombuffer(parsed.as_buffer(of_type=self._of_type), self._held)
        except (ValueError, TypeError, RuntimeError) as error:  # each says something else of JSON
            raise _Odd from error
        target = flat[: len(read)]
        if not len(read) or len(target) < len(read):
            raise _Odd
        if self._dtype.itemsize < read.itemsize and self._dtype.kind != "f":
            limits = np.iinfo(self._dtype)
            if read.min() < limits.min or read.max() > limits.max:
                raise _Odd
        with np.errstate(over="ignore"):
            target[:] = read
        if self._dtype.kind == "f" and np.isinf(target).any():
            raise _Odd
        return len(read)


def _lists(body: bytes, start: int, end: int) -> int:
    """How many there are, at any depth; there is no text among them. Raises: _Odd."""
    opened = closed = 0
    for at in range(start, end, PIECE_BYTES):
        text = np.frombuffer(body, np.uint8, min(PIECE_BYTES, end - at), at)
        opened += int(np.count_nonzero(text == ord("[")))
        closed += int(np.count_nonzero(text == ord("]")))
    if opened != closed:
        raise _Odd
    return opened


def _trimmed(body: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the list lies that is all there is from `start` to `end`. Raises: _Odd."""
    opening = _TO_LIST.match(body, start, end)
    last = body.rfind(b"]", start, end) + 1
    if opening is None or not last or body[last:end].strip(_BLANK):
        raise _Odd
    return opening.end(), last


def _pieces(
    body: bytes, start: int, end: int, shape: tuple[int, ...]
) -> Iterator[bytes | memoryview]:
    """The list, cut into lists of whole values."""
    view = memoryview(body)
    if end - start <= 2 * PIECE_BYTES:
        yield view[start:end]
        return
    step = max(PIECE_BYTES, (end - start) * 9 // (10 * shape[0]))
    for first, last in _cut(body, start, end, len(shape) - 1, step):
        yield b"".join((b"[", view[first:last], b"]"))


def _cut(body: bytes, start: int, end: int, depth: int, step: int) -> Iterator[tuple[int, int]]:
    """Where whole values of a list lie: one after the other, or so many as fill `step` bytes."""
    end_of_value = re.compile(rb"[ \t\r\n]*".join([*[rb"\]"] * depth, b","]))
    at = start + 1
    while end - at > 2 * step:
        cut = end_of_value.search(body, at + step, end - 1)
        if cut is None:
            break
        yield at, cut.end() - 1
        at = cut.end()
    yield at, end - 1
