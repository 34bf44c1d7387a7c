"""JSON values -> arrays: one look at a whole column when all is well, value by value when not.

`coerce` is the rule for one value; `at_once` does the same for a whole column or gives None, and
then `one_by_one` finds every fault. docs/protocols.md lists the rules for awkward values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np

from app.errors import MAX_FAULTS, Fault
from app.schema.forms import MISSING, SKIPPED, depth_of, kind
from app.tensors import Array, TensorSpec

_EXACT_FLOAT: Final = 2**53
"""Above it a float no longer says which integer was meant (IEEE 754 binary64)."""


class Misfit(Exception):
    """One value does not fit; the text is what was got."""


@lru_cache(maxsize=64)
def storage(dtype: str) -> np.dtype[Any]:
    """The numpy type that holds `dtype` in a batch."""
    held = {"string": "O", "any": "O", "datetime": "datetime64[us]", "bfloat16": "float32"}
    return np.dtype(held.get(dtype, dtype))


def expected(spec: TensorSpec) -> str:
    """What one value of `spec` must be, for people."""
    number = storage(spec.dtype)
    if number.kind in "iu" and number.itemsize < 8:
        info = np.iinfo(number)
        wanted = f"an integer from {info.min} to {info.max}"
    else:
        words = {"f": "a number", "i": "an integer", "u": "a non-negative integer"}
        words |= {"b": "true or false", "M": "a date-time (RFC 3339)"}
        wanted = words.get(number.kind, "a string" if spec.dtype == "string" else "a value")
    return f"{wanted} or null" if spec.nullable else wanted


def at_once(values: Sequence[Any], spec: TensorSpec, depth: int) -> Array | None:
    """The whole column by numpy; None when any value wants a closer look.

    Args:
        values: one per record, each nested `depth` deep.
    """
    wanted = storage(spec.dtype)
    if wanted.kind == "O":
        return _objects_at_once(values, spec, depth)
    try:
        array = np.asarray(values)
    except ValueError:
        return None
    if array.ndim != depth + 1 or not _shape_fits(array.shape[1:], spec, depth):
        return None
    if wanted.kind == "f" and array.dtype.kind in "fiub":
        return _narrowed(array, wanted)
    if wanted.kind in "iu" and array.dtype.kind in "iub":
        info = np.iinfo(wanted)
        if array.size and (int(array.min()) < info.min or int(array.max()) > info.max):
            return None
        return array.astype(wanted, copy=False)
    return array if wanted.kind == "b" and array.dtype.kind == "b" else None


def _objects_at_once(values: Sequence[Any], spec: TensorSpec, depth: int) -> Array | None:
    if depth:
        return None
    if spec.dtype == "string" and not all(type(value) is str for value in values):
        return None
    if MISSING in values or SKIPPED in values or any(isinstance(v, (list, dict)) for v in values):
        return None
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _narrowed(array: Array, wanted: np.dtype[Any]) -> Array | None:
    with np.errstate(over="ignore"):
        narrowed = array.astype(wanted, copy=False)
    if wanted.itemsize < 8 and not np.isfinite(narrowed).all():
        return None
    return narrowed


def _shape_fits(shape: tuple[int, ...], spec: TensorSpec, depth: int) -> bool:
    wanted = spec.shape[len(spec.shape) - depth :] if depth else ()
    return all(w is None or w == s for w, s in zip(wanted, shape, strict=True))


def one_by_one(
    values: Sequence[Any], spec: TensorSpec, depth: int, column: str | None, *, single: bool
) -> tuple[Array | None, list[Fault]]:
    """The column value by value: its array, or its faults (20 at most).

    Args:
        column: how faults name the column; None: by position in the record.
    """
    sizes = _sizes(values, spec, depth)
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
    array = np.empty((len(values), *sizes), dtype=storage(spec.dtype))
    if array.size:
        array[...] = walked if depth or array.dtype.kind != "O" else _flat(walked)
    return array, faults


def _flat(values: list[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
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


def _sizes(values: Sequence[Any], spec: TensorSpec, depth: int) -> list[int]:
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
    if value is MISSING and not spec.required:
        value = spec.default
    if value is None:
        if not spec.nullable:
            raise Misfit("null")
        if storage(spec.dtype).kind in "iub":
            raise Misfit("null")
        return math.nan if storage(spec.dtype).kind == "f" else None
    if value is MISSING:
        raise Misfit("nothing")
    return convert(value, spec)


def _to_float(value: Any, spec: TensorSpec) -> float:
    if type(value) not in (int, float, bool):
        raise Misfit(kind(value))
    with np.errstate(over="ignore"):
        if not np.isfinite(np.asarray(float(value)).astype(storage(spec.dtype))):
            raise Misfit(f"a number beyond the range of {spec.dtype}")
    return float(value)


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
    except ValueError:
        raise Misfit("a string that is no date-time") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(moment, "us")


def _to_object(value: Any, spec: TensorSpec) -> Any:
    if spec.dtype == "string" and type(value) is not str:
        raise Misfit(kind(value))
    if depth_of(value) or isinstance(value, dict):
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
