"""Where two JSON values differ: `results` as a model gives them, and as they are wanted. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Place = tuple[int | str, ...]
"""Keys and positions that lead to a value."""


def differences(
    got: Any, wanted: Any, tolerance: float, *, by_row: bool = True, by_output: bool = False
) -> Iterator[str]:
    """Each place where the two differ; numbers by `tolerance`, relative or absolute.

    Args:
        by_row: a list on the outside has an entry for each row.
        by_output: an object on the outside has a value, or such a list, for each output.
    """
    for path, text in _differences(got, wanted, tolerance, ()):
        yield f"{_told(path, by_row=by_row, by_output=by_output) or 'results'}: {text}"


def _differences(
    got: Any, wanted: Any, tolerance: float, path: Place
) -> Iterator[tuple[Place, str]]:
    if isinstance(got, list) and isinstance(wanted, list):
        if len(got) != len(wanted):
            yield path, f"got {len(got)} entries, wanted {len(wanted)}"
            return
        for i, (g, w) in enumerate(zip(got, wanted, strict=True)):
            yield from _differences(g, w, tolerance, (*path, i))
    elif isinstance(got, dict) and isinstance(wanted, dict):
        if got.keys() != wanted.keys():
            yield path, f"got {sorted(got)}, wanted {sorted(wanted)}"
            return
        for key in wanted:
            yield from _differences(got[key], wanted[key], tolerance, (*path, key))
    elif not _equal(got, wanted, tolerance):
        yield path, f"got {_short(got)}, wanted {_short(wanted)}"


def _told(path: Place, *, by_row: bool, by_output: bool) -> str:
    """For people: `row 2, output "probabilities", column 1`, as the faults of a payload are."""
    rest = list(path)
    output = [f'output "{rest.pop(0)}"'] if by_output and rest else []
    row = [f"row {rest.pop(0)}"] if by_row and rest and isinstance(rest[0], int) else []
    column = []
    if rest:
        name, *inner = (f'"{key}"' if isinstance(key, str) else str(key) for key in rest)
        column = [f"column {name}{''.join(f'[{key}]' for key in inner)}"]
    return ", ".join([*row, *output, *column])


def _equal(got: Any, wanted: Any, tolerance: float) -> bool:
    if type(got) in (int, float) and type(wanted) in (int, float):
        return bool(abs(got - wanted) <= tolerance * max(1, abs(got), abs(wanted)))
    return type(got) is type(wanted) and bool(got == wanted)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
