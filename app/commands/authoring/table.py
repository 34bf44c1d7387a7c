"""The columns of a CSV or Parquet file, as pandas reads them for training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from app.imports import imported

Kind = Literal["boolean", "integer", "number", "string", "date-time", "any"]

_MOST: Final = 2**63 - 1
"""Integers beyond it go as numbers."""
_KINDS: Final[dict[type, Kind]] = {
    bool: "boolean",
    datetime: "date-time",
    float: "number",
    int: "integer",
    str: "string",
}


@dataclass(frozen=True, slots=True)
class Column:
    """What one column holds."""

    name: str
    kind: Kind
    values: Sequence[Any]
    """As JSON has them; None where there is none."""


def read(path: Path) -> list[Column]:
    """The columns of the table at `path`. Blocking.

    Raises:
        ValueError: it cannot be read as a table, or has a column that JSON cannot hold.
        OSError: there is no such file.
    """
    frame = _parquet(path) if path.suffix in (".parquet", ".pq") else _csv(path)
    if not len(frame):
        raise ValueError(f"{path} has no rows, so nothing is known of its columns")
    names = list(map(str, frame.columns))
    if len(set(names)) != len(names):
        raise ValueError(f"{path} has two columns of the same name")
    return [_column(name, frame.iloc[:, i]) for i, name in enumerate(names)]


def _csv(path: Path) -> Any:
    read_csv = imported("pandas:read_csv", "to read a table")
    with path.open("rb") as file:  # whose errors are those of the system
        try:
            return read_csv(file, low_memory=False)
        except ValueError as error:  # also of a text that is no UTF-8
            reason = str(error).partition("\n")[0]
            raise ValueError(f"{path} cannot be read as CSV: {reason}") from error


def _parquet(path: Path) -> Any:
    read_parquet = imported("pandas:read_parquet", "to read a table")
    with path.open("rb") as file:
        try:
            return read_parquet(file)
        except ImportError as error:
            raise ValueError(
                f"{path} is Parquet, which pandas reads by pyarrow, and that is not installed "
                "here: pip install pyarrow, or write the table as CSV"
            ) from error
        except Exception as error:  # pyarrow's own
            raise ValueError(f"{path} cannot be read as Parquet: {error}") from error


def _column(name: str, series: Any) -> Column:
    gone = series.isna().tolist()
    held = series.astype(object).tolist()
    values = [
        None if is_gone else _plain(name, value) for is_gone, value in zip(gone, held, strict=True)
    ]
    kind = _kind(values)
    if all(gone) and getattr(series.dtype, "kind", "O") == "f":
        kind = "number"  # as pandas reads a column of nothing
    return Column(name, kind, [_as_json(value) for value in values])


def _plain(name: str, value: Any) -> Any:
    """As Python has it."""
    value = value.item() if type(value).__module__ == "numpy" and not value.shape else value
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, tuple(_KINDS)):
        kind = "lists" if hasattr(value, "tolist") else type(value).__name__
        raise ValueError(
            f'the column "{name}" holds {kind}; a table of texts, numbers, '
            "true or false and times can be told, this column wants a schema by hand"
        )
    return value


def _kind(values: Sequence[Any]) -> Kind:
    kinds = set(_kinds(values))
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 else "any"


def _kinds(values: Sequence[Any]) -> Iterator[Kind]:
    for value in values:
        if value is None:
            continue
        if type(value) is int and abs(value) > _MOST:
            yield "number"
        else:
            yield next(kind for held, kind in _KINDS.items() if isinstance(value, held))


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value
