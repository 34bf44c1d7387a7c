"""What the operator wants of a version, and how it is doing, for people and exporters."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from app.catalog.lineup import Lineup
from app.pool import Loaded, Options


@dataclass(frozen=True, slots=True)
class Wanted:
    """One model that the operator names."""

    name: str
    version: str | None = None
    """None: the newest."""
    registry: str = ""
    """Empty: the default one."""
    is_preloaded: bool = True
    is_required: bool = True
    options: Options = field(default_factory=Options)
    may_answer: bool = True
    """Requests that name no version; else only those that name this one."""
    lineup: Lineup = field(default_factory=Lineup)
    """What is said of further versions of it."""

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}:{self.version}"


class State(StrEnum):
    """Of one name and version."""

    KNOWN = "KNOWN"
    """Not in memory; loaded on the next request."""
    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Status:
    """One entry as people and exporters see it."""

    name: str
    version: str
    state: State
    is_required: bool
    step: str = ""
    reason: str = ""
    next_try_s: float | None = None
    loaded: Loaded | None = None
    stale: str = ""
    """Why it is not known whether there is a newer version; empty when it is."""
    refused_version: str = ""
    """A newer one, that may not answer; empty when there is none."""
    refused: str = ""
    """Why not."""
    not_reloaded: str = ""
    """Why its files, as they are now, do not answer; empty when they do."""
