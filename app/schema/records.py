"""Requests of records with scalar columns, read by a type that is compiled from the signature.

It takes the forms that clients send most: records, rows by position, pandas' split form. What it
refuses is read again by the slow way, which alone knows what to say.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from itertools import chain, groupby
from operator import itemgetter
from types import GenericAlias
from typing import Any, Final

import numpy as np

from app.schema.document import in_pieces
from app.schema.kinds import kind_of, takes_default
from app.schema.layout import Layout
from app.schema.results import check_outputs
from app.schema.values import Misfit, holds_null, moments_of, objects_of
from app.tensors import Array, Batch, Call, Signature, TensorSpec, storage

MAX_BYTES: Final = 1024 * 1024
"""Of bodies read at once: for so long as each step of that takes, 1 ms, no other thread runs."""
_CODES: Final = {"f2": "e", "f4": "f", "f8": "d", "b1": "?"} | {
    "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
}  # fmt: skip
"""Numeric types -> codes of `struct`, which refuses what is out of range."""


class Records:
    """Reads such requests for one model; used by many threads."""

    def __init__(self, signature: Signature, layout: Layout, kinds: Sequence[Any]) -> None:
        import msgspec

        self._signature = signature
        self._names = list(layout.names)
        specs = signature.inputs
        order = sorted(range(len(specs)), key=lambda i: (_held(specs[i]), specs[i].nullable))
        self._regroup = itemgetter(*order)
        self._ungroup = itemgetter(*map(order.index, range(len(specs))))
        self._wide = [spec.name for spec in specs if len(spec.shape) > 1]
        self._groups: list[_Group] = []
        for _, alike in groupby(order, key=lambda i: _held(specs[i])):
            self._groups.append(_Group([specs[i] for i in alike]))
        self._record = _record_type([(specs[i], kinds[i]) for i in order])
        several, request = self._types(kinds)
        self._decode = msgspec.json.Decoder(request).decode
        self._decode_several = msgspec.json.Decoder(several).decode
        self._values_of: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple
        self._absent = msgspec.UNSET
        self._refusals = (msgspec.MsgspecError, ValueError, RecursionError)

    @classmethod
    def of(cls, signature: Signature, layout: Layout) -> Records | None:
        """None, where there is no such type for the signature."""
        if not layout.columns:
            return None
        kinds = [kind_of(spec) for spec in signature.inputs]
        if None in kinds or not all(map(takes_default, signature.inputs)):
            return None
        try:
            return cls(signature, layout, kinds)
        except (ValueError, TypeError):  # a name, or a rule, that such a type cannot have
            return None

    def _types(self, kinds: Sequence[Any]) -> tuple[Any, Any]:
        """Of several records, and of a request."""
        from msgspec import UNSET, defstruct

        row: Any = GenericAlias(tuple, tuple(kinds))
        several: Any = GenericAlias(list, (self._record | row,))
        split_form = defstruct(
            "Split",
            [
                ("columns", list[str]),
                ("data", GenericAlias(list, (row,))),
                ("index", list[int | str] | None, None),
            ],
            forbid_unknown_fields=True,
        )
        has_split_form = not {"columns", "data"} <= set(self._names)
        request = defstruct(
            "Request",
            [
                ("data", self._record | several, UNSET),
                ("input_data", split_form | several if has_split_form else several, UNSET),
                ("outputs", list[str] | None, None),
                ("model_name", str | None, None),
                ("model_version", int | str | None, None),
            ],
            forbid_unknown_fields=True,  # what it skips, msgspec does not look at
        )
        return several, request

    def read(self, body: bytes) -> Call | None:
        """The call, unless there is something odd about it.

        Raises:
            SchemaMismatch: the outputs asked for are none of the model's.
        """
        return self._whole(body) if len(body) <= MAX_BYTES else self._in_pieces(body)

    def _whole(self, body: bytes) -> Call | None:
        """Raises: as `read`."""
        try:
            request = self._decode(body)
        except self._refusals:
            return None
        data, bare = request.data, False
        if data is self._absent:
            data, bare = request.input_data, True
        elif request.input_data is not self._absent:
            return None
        asked = request.outputs
        outputs = None if asked is None else check_outputs(asked, self._signature)
        single = type(data) is self._record
        records = [data] if single else self._listed(data)
        batch = None if records is None else self._batch(records)
        return None if batch is None else Call(batch, single, outputs, bare)

    def _in_pieces(self, body: bytes) -> Call | None:
        """Raises: as `read`."""
        found = in_pieces(body, self._piece)
        if found is None:  # such as the split form, which is not cut
            return self._whole(body) if len(body) <= 4 * MAX_BYTES else None
        key, pieces, at = found
        rest = body[at:]
        if b"\\" in rest or b'"data"' in rest or b'"input_data"' in rest:
            return None  # of equal keys the last one counts
        is_by_position = rest.lstrip(b" \t\r\n").startswith(b"[")
        if {is_by_position} != {piece[0] for piece in pieces}:
            return None
        call = self._whole(b'{"%b":[%b' % (key.encode(), rest))
        if call is not None:
            call.batch = Batch.join([*(batch for _, batch in pieces), call.batch])
        return call

    def _piece(self, text: bytes) -> list[tuple[bool, Batch]]:
        """Whether the records are by position, and what they hold. Raises: ValueError."""
        try:
            records = self._listed(self._decode_several(text))
        except self._refusals as error:
            raise ValueError from error
        batch = None if records is None else self._batch(records)
        if records is None or batch is None:
            raise ValueError
        return [(type(records[0]) is tuple, batch)]

    def _listed(self, data: Any) -> list[Any] | None:
        """At least one record, all by name or all by position."""
        if type(data) is not list:
            if data is self._absent or data.columns != self._names:
                return None
            data = data.data
        return data if len(set(map(type, data))) == 1 else None

    def _batch(self, records: list[Any]) -> Batch | None:
        try:
            arrays = self._arrays(self._by_column(records), len(records))
        except (struct.error, OverflowError, Misfit):
            return None
        named = dict(zip(self._names, self._ungroup(arrays), strict=True))
        for name in self._wide:
            named[name] = named[name].reshape(-1, 1)
        return Batch(named, len(records))

    def _by_column(self, records: list[Any]) -> Sequence[Any]:
        """All values, column by column, as the groups are ordered."""
        is_by_position = type(records[0]) is tuple
        if len(records) == 1:
            return (self._regroup if is_by_position else self._values_of)(records[0])
        if is_by_position:
            return [*chain.from_iterable(self._regroup([*zip(*records, strict=True)]))]
        return [*chain.from_iterable(zip(*map(self._values_of, records), strict=True))]

    def _arrays(self, values: Sequence[Any], rows: int) -> list[Array]:
        """One for each column, as the groups are ordered.

        Raises:
            struct.error, OverflowError, Misfit: a value does not fit.
        """
        arrays: list[Array] = []
        at = 0
        for group in self._groups:
            end = at + group.size * rows
            arrays.extend(group.read(values[at:end], rows))
            at = end
        return arrays


class _Group:
    """Columns of one numpy type, side by side: those that take null are the last ones."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self.size = len(specs)
        self._spec = specs[0]
        self._dtype = np.dtype(_held(specs[0]))
        self._never_null = sum(not spec.nullable for spec in specs)
        self._code = _CODES.get(self._dtype.str[1:], "x")
        self._pack_row = struct.Struct(f"={self.size}{self._code}").pack_into

    def read(self, values: Sequence[Any], rows: int) -> Array:
        """`(columns, rows)`; the values come column by column. Raises: see `Records._arrays`."""
        if self._dtype.kind == "O":
            return objects_of(values).reshape(self.size, rows)
        if self._dtype.kind == "M":
            return moments_of(values, self._spec).reshape(self.size, rows)
        if self._never_null < self.size:
            values = _filled(values, self._never_null * rows)
        array: Any = np.empty((self.size, rows), self._dtype)
        if rows == 1:
            self._pack_row(array, 0, *values)
        else:
            struct.Struct(f"={len(values)}{self._code}").pack_into(array, 0, *values)
        return array  # type: ignore[no-any-return]  # numpy's stubs know it as a buffer from 3.12


def _filled(values: Sequence[Any], start: int) -> Sequence[Any]:
    """NaN for null, from `start` on."""
    nullable = values[start:]
    if None not in nullable:
        return values
    return [*values[:start], *(math.nan if value is None else value for value in nullable)]


def _held(spec: TensorSpec) -> str:
    """The numpy type of the column; equal for columns that are read alike."""
    dtype = storage(spec.dtype)
    return "O" if dtype.kind == "O" or holds_null(spec) else dtype.str


def _record_type(columns: Sequence[tuple[TensorSpec, Any]]) -> Any:
    from msgspec import defstruct

    fields = [
        (f"f{i}", kind) if spec.required else (f"f{i}", kind, spec.default)
        for i, (spec, kind) in enumerate(columns)
    ]
    return defstruct(
        "Record",
        fields,
        rename={f"f{i}": spec.name for i, (spec, _) in enumerate(columns)},
        forbid_unknown_fields=True,
        kw_only=True,
        gc=False,
    )
