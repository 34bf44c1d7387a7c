"""The life of one name and version, or of the newest version of a name."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from app.errors import ModelNotFound, ModelUnavailable, ServingError
from app.pool import Loaded, Options, Pool
from app.registries import Registry
from app.tensors import ModelRef

logger = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 60.0


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


class Entry:
    """One name and version: loaded by one try at a time, whose end all wait for who ask for it."""

    def __init__(
        self,
        wanted: Wanted,
        registry: Registry,
        pool: Pool,
        failed: Callable[[Entry, ServingError], None],
        *,
        is_named: bool,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        """`failed` is told of each try that failed."""
        self.wanted = wanted
        self.registry = registry
        self.is_named = is_named
        """By the operator; not merely asked for by a request."""
        self.ref: ModelRef | None = None
        self.step = ""
        """Where the present, or the last, try is."""
        self.was_tried = False
        self.was_ready = False
        self._pool = pool
        self._tell_failed = failed
        self._first_retry_s = first_retry_s
        self._reason = ""  # text only: an error would keep the model that failed in memory
        self._failures = 0
        self._next_try_at = 0.0
        self._task: asyncio.Task[Loaded | ServingError] | None = None

    @property
    def is_awaited(self) -> bool:
        """Loaded at the start, and readiness waits for it."""
        return self.is_named and (self.wanted.is_preloaded or self.wanted.is_required)

    @property
    def state(self) -> State:
        """Now."""
        if self.ref is not None and self._pool.peek(self.ref) is not None:
            return State.READY
        if self._task is not None:
            return State.LOADING
        return State.FAILED if self._reason else State.KNOWN

    def status(self) -> Status:
        """For people and exporters."""
        state = self.state
        has_failed = state is State.FAILED
        return Status(
            name=self.wanted.name,
            version=self.ref.version if self.ref else self.wanted.version or "latest",
            state=state,
            is_required=self.is_named and self.wanted.is_required,
            step=self.step if state in (State.LOADING, State.FAILED) else "",
            reason="" if state is State.READY else self._reason,  # also while it is tried again
            next_try_s=self.retry_after_s() if has_failed else None,
            loaded=self._pool.peek(self.ref) if self.ref else None,
        )

    def retry_after_s(self) -> float:
        """Seconds until the next try."""
        return max(0.0, self._next_try_at - time.monotonic())

    def get(self) -> Loaded | None:
        """The model when it is in memory."""
        return None if self.ref is None else self._pool.get(self.ref)

    async def load(self) -> Loaded:
        """The model, by a new try unless one runs or the next one is not due.

        Raises:
            ModelNotFound: the registry has no such model, and the operator did not name it.
            ModelUnavailable: it failed to load; the text says why, and when it is tried again.
        """
        if self._task is None:
            if self._reason and self.retry_after_s() > 0:
                raise self._unavailable(self._reason)
            self._task = asyncio.create_task(self._try())
        outcome = await asyncio.shield(self._task)
        if isinstance(outcome, Loaded):
            return outcome
        if isinstance(outcome, ModelNotFound) and not self.is_named:
            raise ModelNotFound(outcome.message)
        raise self._unavailable(outcome.message)

    async def keep(self) -> None:
        """Try until it is loaded once."""
        while True:
            try:
                await self.load()
            except ServingError:
                await asyncio.sleep(self.retry_after_s())
            else:
                return

    async def close(self) -> None:
        """End the try that runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _try(self) -> Loaded | ServingError:
        """Never raises: whoever waits for it gets the model or the reason."""
        wanted = self.wanted
        try:
            self._tell("resolve")
            self.ref = await self._pool.resolve(wanted.name, wanted.version, self.registry)
            loaded = await self._pool.load(self.ref, self.registry, wanted.options, self._tell)
        except ServingError as error:
            return self._failed(error)
        except Exception as error:
            logger.exception("loading %s raised", wanted)
            text = f"{self.step} raised {type(error).__name__}; the log has the details"
            return self._failed(ModelUnavailable(text))
        else:
            self._reason, self._failures, self.was_ready = "", 0, True
            return loaded
        finally:
            self._task = None
            self.was_tried = True

    def _tell(self, step: str) -> None:
        self.step = step

    def _failed(self, error: ServingError) -> ServingError:
        self._reason = error.message
        self._failures += 1
        wait_s = min(LAST_RETRY_S, self._first_retry_s * 2 ** min(self._failures - 1, 10))
        jitter = random.uniform(0.8, 1.2)  # noqa: S311  # no secret
        self._next_try_at = time.monotonic() + max(wait_s * jitter, error.retry_after_s or 0)
        self._tell_failed(self, error)
        return error

    def _unavailable(self, reason: str) -> ModelUnavailable:
        return ModelUnavailable(
            f"model {self.wanted} cannot be served: {reason}",
            retry_after_s=max(1.0, self.retry_after_s()),
        )
