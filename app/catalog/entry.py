"""The life of one name and version, or of the newest version of a name."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from app.catalog.refusal import Refusal, answering
from app.catalog.status import State, Status, Wanted
from app.errors import ModelNotFound, ModelUnavailable, RegistryUnavailable, ServingError
from app.pool import Loaded, Pool
from app.registries import Registry
from app.tensors import ModelRef

logger = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 60.0


class Entry:
    """One name and version: loaded by one try at a time, whose end all wait for who ask for it.

    Of the newest version of a name: `refresh` lets a newer one answer once it is checked; until
    then, and when it is refused, the one before goes on.
    """

    def __init__(
        self,
        wanted: Wanted,
        registry: Registry,
        pool: Pool,
        failed: Callable[[Entry, ServingError], None],
        switched: Callable[[Entry, ModelRef], None],
        *,
        is_named: bool,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        """`failed` is told of each try that failed, `switched` of what answered until now."""
        self.wanted = wanted
        self.registry = registry
        self.is_named = is_named
        """By the operator; not merely asked for by a request."""
        self.ref: ModelRef | None = None
        self.step = ""
        """Where the present, or the last, try is."""
        self.was_tried = False
        self.was_ready = False
        self.not_reloaded = ""
        """Why its files, as they are now, do not answer; empty: they do."""
        self._pool = pool
        self._tell_failed = failed
        self._tell_switched = switched
        self._first_retry_s = first_retry_s
        self._reason = ""  # text only: an error would keep the model that failed in memory
        self._failures = 0
        self._next_try_at = 0.0
        self._task: asyncio.Task[Loaded | ServingError] | None = None
        self._good: ModelRef | None = None
        """The last one that was ready."""
        self._refusal: Refusal | None = None
        self._stale = ""
        self._is_refreshing = False

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
        refusal = self._refusal
        return Status(
            name=self.wanted.name,
            version=self.ref.version if self.ref else self.wanted.version or "latest",
            state=state,
            is_required=self.is_named and self.wanted.is_required,
            step=self.step if state in (State.LOADING, State.FAILED) else "",
            reason="" if state is State.READY else self._reason,  # also while it is tried again
            next_try_s=self.retry_after_s() if has_failed else None,
            loaded=self._pool.peek(self.ref) if self.ref else None,
            stale=self._stale,
            refused_version=refusal.ref.version if refusal else "",
            refused=refusal.reason if refusal else "",
            not_reloaded=self.not_reloaded,
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

    async def try_now(self) -> None:
        """Again, though the next try is not due. Never raises."""
        self._next_try_at = 0.0
        with suppress(ServingError):
            await self.load()

    async def keep(self) -> None:
        """Try until it is loaded once."""
        while True:
            try:
                await self.load()
            except ServingError:
                await asyncio.sleep(self.retry_after_s())
            else:
                return

    async def refresh(self, *, is_asked_for: bool = False) -> bool:
        """Let a newer version answer, if there is one and it passes the checks. Never raises.

        Nothing for an exact version, or one that is not in memory: its next load looks for itself.

        Args:
            is_asked_for: try also a version that was refused not long ago.

        Returns:
            Whether the registry could not be read.
        """
        wanted, current = self.wanted, self.ref
        is_idle = self._task is None and not self._is_refreshing
        if wanted.version is not None or current is None or not is_idle or not self.peek():
            return False
        self._is_refreshing = True
        try:
            newest = await self._pool.newest(wanted.name, self.registry)
            self._stale = ""
            if not is_asked_for:
                await self._heed(newest)
            if newest != current and (is_asked_for or not self._is_refused(newest)):
                await self._switch(current, newest)
        except ServingError as error:
            if not self._stale:
                logger.warning("%s may be stale: %s", current, error.message)
            self._stale = error.message
        except Exception as error:
            logger.exception("refreshing %s raised", wanted)
            self._stale = f"the look for a newer version raised {type(error).__name__}"
        finally:
            self._is_refreshing = False
        return bool(self._stale)

    def step_back(self, ref: ModelRef, to: ModelRef, reason: str) -> None:
        """Let the version before answer again; `ref` is refused until it is asked for.

        Nothing when another one answers by now.
        """
        if self.ref == ref:
            self._answer(to, Refusal.until_asked_for(ref, reason))

    def peek(self) -> Loaded | None:
        """As `get`, without counting as a use."""
        return None if self.ref is None else self._pool.peek(self.ref)

    async def _switch(self, current: ModelRef, newest: ModelRef) -> None:
        """Load `newest` beside `current`; one assignment, and it answers."""
        try:
            loaded = await self._pool.load(newest, self.registry, self.wanted.options, self._tell)
        except RegistryUnavailable:  # nothing is known of the version yet
            raise
        except ServingError as error:
            self._refuse(newest, error)
            return
        if self.ref != current:  # somebody else has chosen meanwhile
            return
        self._answer(loaded.ref, None)
        logger.info("%s answers in place of version %s", loaded.ref, current.version)
        self._tell_switched(self, current)

    def _answer(self, ref: ModelRef, refusal: Refusal | None) -> None:
        """`ref` from now on, also in processes that begin later."""
        self.ref = self._good = ref
        self._refusal, self.not_reloaded = refusal, ""
        if self.wanted.version is None:
            told = answering(ref, refusal)
            self._pool.write_answering(self.wanted.name, self.registry, told)

    def _refuse(self, ref: ModelRef, error: ServingError) -> None:
        self._refusal = Refusal.after(ref, error)
        logger.warning("%s may not answer, the version before goes on: %s", ref, error.message)

    def _is_refused(self, ref: ModelRef) -> bool:
        return self._refusal is not None and self._refusal.holds(ref)

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
            ref = await self._pool.resolve(wanted.name, wanted.version, self.registry)
            loaded = await self._load(ref)
        except ServingError as error:
            return self._failed(error)
        except Exception as error:
            logger.exception("loading %s raised", wanted)
            text = f"{self.step} raised {type(error).__name__}; the log has the details"
            return self._failed(ModelUnavailable(text))
        else:
            self._reason, self._failures, self.was_ready = "", 0, True
            self._answer(loaded.ref, None if loaded.ref == ref else self._refusal)
            return loaded
        finally:
            self._task = None
            self.was_tried = True

    async def _load(self, ref: ModelRef) -> Loaded:
        """`ref`, or the version that answered before when it may not."""
        good, options = self._good or await self._heed(ref), self.wanted.options
        if good is None or good == ref:
            self.ref = ref
            return await self._pool.load(ref, self.registry, options, self._tell)
        if not self._is_refused(ref):
            try:
                return await self._pool.load(ref, self.registry, options, self._tell)
            except RegistryUnavailable as error:
                self._stale = error.message
            except ServingError as error:
                self._refuse(ref, error)
        try:
            return await self._pool.load(good, self.registry, options, self._tell)
        except ServingError as error:
            refused = self._refusal.reason if self._refusal else self._stale
            text = f"{refused}; nor can version {good.version} before it: {error.message}"
            raise ModelUnavailable(text) from error

    async def _heed(self, newest: ModelRef) -> ModelRef | None:
        """What answered last in any process; `newest` is refused where that stepped back."""
        if self.wanted.version is not None:
            return None
        told = await self._pool.answering(self.wanted.name, self.registry)
        if not told.version:
            return None
        good = replace(newest, version=told.version)
        if told.refused == newest.version:
            self.step_back(newest, good, told.reason)
            self._refusal = Refusal.until_asked_for(newest, told.reason)
        return good

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
