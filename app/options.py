"""What the operator may say of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.acceleration import Mode
from app.collecting.rule import Rule
from app.manifest import Manifest, Script
from app.trust import EVERYTHING, Trust

SCRIPT_TIMEOUT_S: Final = 60.0
DEFAULT_MAX_ROWS: Final = 1024
"""Rows of a joint model call, unless the manifest or the configuration says otherwise."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator may say of a model; None leaves it to its manifest, then to the default."""

    is_pinned: bool = False
    max_rows: int | None = None
    threads: int | None = None
    timeout_s: float | None = None
    trust: Trust = EVERYTHING
    accelerate: Mode = "off"
    memory_bytes: int | None = None
    environment: tuple[str, ...] = ()
    """Names of variables that its script sees although they look like secrets."""
    script: Script | None = None
    collect: Rule | None = None

    @property
    def of_processes(self) -> tuple[object, ...]:
        """What the processes of a script are begun with."""
        return self.threads, self.timeout_s, self.environment, self.collect is not None


DEFAULTS: Final = Options()
"""What holds for a model of which the operator says nothing."""


def most_rows(options: Options, stated: Manifest) -> int:
    """Of a joint call, where calls are joined."""
    return options.max_rows or stated.max_rows or DEFAULT_MAX_ROWS
