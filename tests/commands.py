"""Commands called in this process, with an environment of their own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from app.cli import main


def models(home: Path, settings: Mapping[str, str], *arguments: str | Path) -> Result:
    """What `aml-serve models` with `arguments` says and how it ends; no traceback, ever."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    environ = {"SERVE_CACHE_DIR": str(home / "cache"), "COLUMNS": "200", **settings}
    try:
        done = CliRunner().invoke(main, ["models", *map(str, arguments)], env=environ)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    assert "Traceback" not in done.output
    return done
