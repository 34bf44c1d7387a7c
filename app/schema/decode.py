"""`data` -> Batch, by one model's signature."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from app.errors import MAX_FAULTS, BadRequest, Fault, ModelInvalid, SchemaMismatch
from app.schema import forms, params, values
from app.schema.columns import Column
from app.schema.constraints import Constraints
from app.schema.document import loads
from app.schema.forms import MISSING, Columns
from app.schema.layout import Layout
from app.schema.named import renamed
from app.schema.numbers import Numbers, Shape
from app.schema.numerals import MIN_BYTES, Numerals
from app.schema.records import Records
from app.schema.results import check_outputs
from app.tensors import Array, Batch, BatchWithParams, Call, Signature, TensorSpec


class Schema:
    """How payloads for one model are read; made once from its signature, used by many threads."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._layout = Layout.of(signature)
        self._constraints = Constraints(signature)
        self._inputs = tuple(Column(s, self._layout.depths[s.name]) for s in signature.inputs)
        self._wide = frozenset(s.name for s in signature.inputs if self._is_wide(s))
        self._result = signature.canonical((signature.result,)) if signature.result else ()
        shape = Shape.of(signature, self._layout) if self._constraints.are_none else None
        self._numbers = None if shape is None else Numbers(shape)
        self._numerals = None if shape is None else Numerals(shape)
        spans = self._constraints.span_columns
        self._records = None if spans else Records.of(signature, self._layout)
        for column in self._inputs:
            self._check_default(column.spec, column.depth)

    def decode(self, data: Any) -> tuple[Batch, bool]:
        """A well-shaped batch, and whether `data` was a single record of a model that takes many.

        Raises:
            SchemaMismatch: it does not fit; with every fault, 20 at most.
            BadRequest: it is a text that starts like JSON and is not JSON.
        """
        columns = forms.read(data, self._layout)
        arrays: dict[str, Array] = {}
        faults = columns.faults
        bad: dict[str, Collection[int]] = {}
        for column in self._inputs:
            name = column.spec.name
            array = column.read(columns.values[name])
            if array is None:
                array, found = self._one_by_one(columns, column.spec, column.depth)
                faults.extend(found)
                bad[name] = _rows_of(found, columns)
            if array is not None:
                arrays[name] = self._shaped(array, name)
        faults.extend(self._constraints.faults(columns, bad, misfits=bool(faults)))
        if faults:
            raise SchemaMismatch.of(sorted(faults, key=_by_row))
        single = columns.single and self._layout.batched
        return Batch(arrays, columns.rows, len(columns.extra)), single

    def read(self, body: bytes) -> Call:
        """The whole body of a request, from its bytes on.

        Raises:
            BadRequest: it is no JSON, or no request.
            SchemaMismatch: it does not fit the model.
        """
        if self.signature.kind == "raw":
            raise BadRequest("a scoring script is served on /score only")
        if self._records is not None:
            call = self._records.read(body)
            if call is not None:
                return call
        document = None
        if self._numerals is not None and len(body) >= MIN_BYTES:
            document = self._numerals.loads(body)
        if document is None:
            document = loads(body)
        return self._call(document, self._numbers)

    def call(self, document: Any) -> Call:
        """The request `{"data": ..., "outputs": [...]}`, or `input_data` for `data`.

        Raises:
            BadRequest: not such an object.
            SchemaMismatch: it does not fit the model.
        """
        return self._call(document, None)

    def _call(self, document: Any, numbers: Numbers | None) -> Call:
        """`numbers`: reads those of a document that has nothing but what JSON has."""
        if not isinstance(document, dict):
            raise BadRequest(f"the body must be an object with data, got {forms.kind(document)}")
        if self.signature.input_names:
            document = renamed(document, self.signature)
        bare = "input_data" in document
        if bare == ("data" in document):
            problem = "both data and input_data" if bare else "no data"
            raise BadRequest(f'the body has {problem}; send {{"data": ...}}')
        if document.get("params"):
            return self._call_with_params(document)
        asked = document.get("outputs")
        outputs = None if asked is None else check_outputs(asked, self.signature)
        data = document["input_data" if bare else "data"]
        if numbers is not None and (found := numbers.read(data)) is not None:
            array, single = found
            return Call(Batch({numbers.name: array}, len(array)), single, outputs, bare)
        batch, single = self.decode(data)
        return Call(batch, single, outputs, bare)

    def _call_with_params(self, document: dict[str, Any]) -> Call:
        given = params.read(document["params"], self.signature)
        call = self._call({**document, "params": None}, None)
        batch = call.batch
        call.batch = BatchWithParams(batch.arrays, batch.rows, batch.extra_columns, given)
        return call

    def wanted(self, call: Call) -> tuple[str, ...]:
        """The model's outputs that answer `call`."""
        return self.signature.canonical(call.outputs) if call.outputs else self._result

    def _one_by_one(
        self, columns: Columns, spec: TensorSpec, depth: int
    ) -> tuple[Array | None, list[Fault]]:
        given = columns.values[spec.name]
        if spec.required and given and all(value is MISSING for value in given):
            return None, [self._absent(spec, columns)]
        column = spec.name if len(self._inputs) > 1 else None
        return values.one_by_one(given, spec, depth, column, single=columns.single)

    def _check_default(self, spec: TensorSpec, depth: int) -> None:
        if spec.default is None:
            return
        columns = Columns({c.spec.name: [] for c in self._inputs}, 1, single=True)
        columns.values[spec.name] = [spec.default]
        _, faults = values.one_by_one([spec.default], spec, depth, spec.name, single=True)
        faults = faults or self._constraints.faults(columns, {}, misfits=True)
        if faults:
            raise ModelInvalid(
                f'schema.json: the default of "{spec.name}" does not fit it: {faults[0].message}'
            )

    def _absent(self, spec: TensorSpec, columns: Columns) -> Fault:
        """A column that no record has, and the unknown name that may have been meant for it."""
        sent = forms.near(spec.name, columns.extra)
        got = "nothing" if sent is None else f'nothing, but an unknown column "{sent}"'
        suggestion = None if sent is None else spec.name
        return Fault(None, spec.name, values.expected(spec), got, suggestion)

    def _is_wide(self, spec: TensorSpec) -> bool:
        """A row of one value, which comes without its brackets."""
        return self._layout.batched and len(spec.shape) > 1 and not self._layout.depths[spec.name]

    def _shaped(self, array: Array, name: str) -> Array:
        """With the axes of the signature: none for rows where it has none, a last one of size 1."""
        if not self._layout.batched:
            return np.asarray(array[0])
        return array.reshape(-1, 1) if name in self._wide else array


def _rows_of(faults: Sequence[Fault], columns: Columns) -> Collection[int]:
    """Rows of one column that are not to be looked at again: all, where not all faults are told."""
    if len(faults) >= MAX_FAULTS:
        return range(columns.rows)
    return {0 if fault.row is None else fault.row for fault in faults}


def _by_row(fault: Fault) -> int:
    return -1 if fault.row is None else fault.row
