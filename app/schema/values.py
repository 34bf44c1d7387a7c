"""JSON values -> an array, value by value: the rules for awkward values, and every fault.

docs/protocols.md lists the rules; `columns` does the same at once for a column that has no fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from app.errors import MAX_FAULTS, Fault
from app.schema.forms import MISSING, SKIPPED, depth_of, kind
from app.schema.layout import holds_objects
from app.tensors import Array, TensorSpec, storage

_EXACT_FLOAT: Final = 2**53
"""Above it a float no longer says which integer was meant (IEEE 754 binary64)."""


class Misfit(Exception):
    """One value does not fit; the text is what was got."""


def expected(spec: TensorSpec) -> str:
    """What one value of `spec` must be, for people."""
    number = storage(spec.dtype)
    if number.kind in "iu" and number.itemsize < 8:
        info = np.iinfo(number)
        wanted = f"an integer from {info.min} to {info.max}"
    else:
        words = {"f": "a number", "i": "an integer", "u": "a non-negative integer"}
        words |= {"b": "true or false", "M": "a date-time (RFC 3339)"}
        other = "an object" if holds_objects(spec.constraints) else "a value"
        wanted = words.get(number.kind, "a string" if spec.dtype == "string" else other)
    return f"{wanted} or null" if spec.nullable and number.kind not in "iu" else wanted


def holds_null(spec: TensorSpec) -> bool:
    """A column of true, false and null, which only objects can be."""
    return spec.nullable and storage(spec.dtype).kind == "b"


def objects_of(values: Sequence[Any]) -> Array:
    """An array of the very objects.

    Assigning a list to an array lets go of the global lock and takes it again at once. Done over
    and over, it keeps other threads from ever having it.
    """
    return np.fromiter(values, np.dtype("O"), len(values))


def moments_of(values: Sequence[Any], spec: TensorSpec) -> Array:
    """The times that texts tell, in UTC; null for None.

    Raises:
        Misfit: one is no date-time.
    """
    read = [None if value is None else _to_datetime(value, spec) for value in values]
    return np.array(read, storage(spec.dtype))


def one_by_one(
    values: Sequence[Any], spec: TensorSpec, depth: int, column: str | None, *, single: bool
) -> tuple[Array | None, list[Fault]]:
    """The column value by value: its array, or its faults (20 at most).

    Args:
        column: how faults name the column; None: by position in the record.
    """
    if not spec.required:
        values = [spec.default if value is MISSING else value for value in values]
    sizes = sizes_of(values, spec, depth)
    faults: list[Fault] = []
    convert = _CONVERTERS[storage(spec.dtype).kind]

    def walk(value: Any, level: int, path: tuple[int, ...]) -> Any:
        if len(faults) >= MAX_FAULTS:
            return None
        try:
            if level == depth:
                return coerce(value, spec, convert)
            if value is SKIPPED:
                return None
            if not isinstance(value, list):
                raise Misfit(kind(value))
        except Misfit as misfit:
            wanted = expected(spec) if level == depth else f"a list of {sizes[level]} values"
            faults.append(_fault(path, column, wanted, str(misfit), single=single))
            return None
        if len(value) != sizes[level]:
            wanted, got = f"{sizes[level]} values", str(len(value))
            faults.append(_fault(path, column, wanted, got, single=single))
            return None
        return [walk(item, level + 1, (*path, i)) for i, item in enumerate(value)]

    walked = [walk(value, 0, (row,)) for row, value in enumerate(values)]
    if faults or any(value is SKIPPED for value in values):
        return None, faults
    return _assembled(walked, spec, sizes), faults


def _assembled(walked: list[Any], spec: TensorSpec, sizes: list[int]) -> Array:
    held = np.dtype("O") if holds_null(spec) else storage(spec.dtype)
    array = np.empty((len(walked), *sizes), dtype=held)
    if array.size:
        array[...] = walked if sizes or held.kind != "O" else objects_of(walked)
    return array


def _fault(
    path: tuple[int, ...], column: str | None, wanted: str, got: str, *, single: bool
) -> Fault:
    row, *place = path
    name: str | int | None = column
    if column is None and len(place) == 1:
        name = place[0]
    elif place:
        got = f"{got} at {''.join(f'[{i}]' for i in place)}"
    return Fault(None if single else row, name, wanted, got)


def sizes_of(values: Sequence[Any], spec: TensorSpec, depth: int) -> list[int]:
    """Length of each axis of one record: the signature's, or else the first record's."""
    declared = list(spec.shape[len(spec.shape) - depth :]) if depth else []
    value: Any = values[0] if len(values) else None
    sizes = []
    for size in declared:
        here = len(value) if isinstance(value, list) else 0
        sizes.append(here if size is None else size)
        value = value[0] if isinstance(value, list) and value else None
    return sizes


def coerce(value: Any, spec: TensorSpec, convert: Callable[[Any, TensorSpec], Any]) -> Any:
    """One value as it stands in the array; NaN for null in a float column.

    Raises:
        Misfit: it does not fit `spec`.
    """
    if value is SKIPPED:
        return None
    if value is None:
        if not spec.nullable or storage(spec.dtype).kind in "iu":
            raise Misfit("null")
        return math.nan if storage(spec.dtype).kind == "f" else None
    if value is MISSING:
        raise Misfit("nothing")
    return convert(value, spec)


def _to_float(value: Any, spec: TensorSpec) -> float:
    if type(value) not in (int, float, bool):
        raise Misfit(kind(value))
    wanted = storage(spec.dtype)
    try:
        number = float(value)
        with np.errstate(over="ignore"):
            is_finite = math.isfinite(number if wanted.itemsize == 8 else wanted.type(number))
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise Misfit(f"a number beyond the range of {spec.dtype}")
    return number


def _to_int(value: Any, spec: TensorSpec) -> int:
    if type(value) not in (int, float, bool):
        raise Misfit(kind(value))
    info = np.iinfo(storage(spec.dtype))
    if type(value) is float:
        if not value.is_integer():
            raise Misfit("a number with a fraction")
        if abs(value) > _EXACT_FLOAT:
            raise Misfit(f"a number beyond the exact range of {spec.dtype}")
    if not info.min <= int(value) <= info.max:
        raise Misfit(f"an integer beyond the range of {spec.dtype}")
    return int(value)


def _to_bool(value: Any, spec: TensorSpec) -> bool:
    if type(value) not in (bool, int, float):
        raise Misfit(kind(value))
    if value not in (0, 1):
        raise Misfit("a number other than 0 and 1")
    return bool(value)


def _to_datetime(value: Any, spec: TensorSpec) -> np.datetime64:
    if type(value) is not str:
        raise Misfit(kind(value))
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):  # the year 1 of one zone is the year 0 of another
        raise Misfit("a string that is no date-time") from None
    return np.datetime64(moment, "us")


def _to_object(value: Any, spec: TensorSpec) -> Any:
    if spec.dtype == "string" and type(value) is not str:
        raise Misfit(kind(value))
    is_object = isinstance(value, dict)
    if depth_of(value) or is_object != holds_objects(spec.constraints):
        raise Misfit(kind(value))
    return value


_CONVERTERS: Final = {
    "f": _to_float,
    "i": _to_int,
    "u": _to_int,
    "b": _to_bool,
    "M": _to_datetime,
    "O": _to_object,
}
