"""What people see on a terminal: tables, and how far a fetch is; by rich."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from app.registries import Progress, nobody

_WIDE: Final = 1000
"""Columns of what is not a terminal: nothing is cut there."""

Begin = Callable[[str], Progress]
"""Begins a line for what is called so; gives what is told how far it is."""


def write_json(told: object) -> None:
    """For programs."""
    print(json.dumps(told, indent=2, ensure_ascii=False))  # noqa: T201  # a command's result


def write_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """For people: a line each, under its columns; without a heading when those are empty."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False)
    table = Table(box=None, pad_edge=False, show_header=any(columns), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    with console.capture() as capture:
        console.print(table)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))  # noqa: T201


def printable(text: str) -> str:
    """On one line, and without what would steer a terminal: others wrote it."""
    return "".join(c if c.isprintable() else " " for c in text)


def pairs(told: Mapping[str, str]) -> str:
    """Tags in one cell."""
    return ", ".join(f"{key}={value}" for key, value in told.items())


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """A sign of life on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(file=sys.stderr).status(printable(text)):
        yield


@contextmanager
def progress() -> Iterator[Begin]:
    """A bar for each fetch on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: nobody
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns: list[Any] = [TextColumn("{task.description}"), BarColumn()]
    columns += [DownloadColumn(), TransferSpeedColumn()]
    with Bars(*columns, console=Console(file=sys.stderr)) as bars:

        def begin(name: str) -> Progress:
            task = bars.add_task(printable(name), total=None)
            return lambda done, size: bars.update(task, completed=done, total=size)

        yield begin
