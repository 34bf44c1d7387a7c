"""Who signs tokens, and the keys that it publishes; they are fetched in a thread."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPException
from threading import Thread
from typing import Any, Final
from urllib.request import HTTPRedirectHandler, build_opener

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWKClient, PyJWTError

from app.errors import IssuerUnavailable, Unauthenticated

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
"""Of a fetch; two make a refresh."""
REFRESH_S: Final = 3600.0
"""How often keys are fetched unasked: so long does one that was withdrawn count, at most."""
COOLDOWN_S: Final = 30.0
"""How often unknown key ids may cause a refresh."""
RETRY_S: Final = 5.0
"""After a refresh that failed."""
MAX_BYTES: Final = 1 << 20
"""Of a configuration; a real one has 2 KB."""


class Issuer:
    """Its keys stay when they cannot be fetched again. Lives on one loop."""

    def __init__(
        self,
        url: str,
        changed: Callable[[], None],
        *,
        cooldown_s: float = COOLDOWN_S,
        retry_s: float = RETRY_S,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`changed` is called when its keys are others than before."""
        self.url = url
        self.keys: Mapping[str, PyJWK] = {}
        """By key id; RSA keys only."""
        self._changed = changed
        self._cooldown_s = cooldown_s
        self._retry_s = retry_s
        self._timeout_s = timeout_s
        self._problem: str | None = "it was not asked yet"
        self._refreshing: asyncio.Future[None] | None = None
        self._next_ask_at = 0.0

    async def keep(self) -> None:
        """Fetch the keys now and every hour, and soon after a failure; never ends."""
        while True:
            await self._refresh()
            await asyncio.sleep(REFRESH_S if self._problem is None else self._retry_s)

    async def find(self, key_id: str) -> None:
        """Return when the key is among `keys`.

        Raises:
            Unauthenticated: the issuer does not publish it.
            IssuerUnavailable: the issuer could not be asked.
        """
        if self._refreshing is not None or time.monotonic() >= self._next_ask_at:
            await self._refresh()
            wait_s = self._cooldown_s if self._problem is None else self._retry_s
            self._next_ask_at = time.monotonic() + wait_s
        if key_id in self.keys:
            return
        if self._problem is not None:
            raise IssuerUnavailable(
                "the keys of the token's issuer cannot be read now", retry_after_s=self._retry_s
            )
        raise Unauthenticated("the token is signed with a key that its issuer does not publish")

    async def _refresh(self) -> None:
        """One at a time; who comes meanwhile waits for the same."""
        if self._refreshing is None:
            loop = asyncio.get_running_loop()
            self._refreshing = loop.create_future()
            # No executor: its threads are waited for when the process ends, daemons are not.
            Thread(target=self._fetch, args=(loop,), daemon=True, name="issuer").start()
        await asyncio.wait([self._refreshing], timeout=2 * self._timeout_s + 1)

    def _fetch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Blocking; in a thread of its own."""
        keys: dict[str, PyJWK] | None = None
        problem = None
        try:
            keys = _published(self.url, self._timeout_s)
        except (OSError, HTTPException, PyJWTError, ValueError, KeyError, TypeError) as error:
            problem = f"{type(error).__name__}: {error}"
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._take, keys, problem)

    def _take(self, keys: Mapping[str, PyJWK] | None, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            logger.warning("the keys of the issuer %s cannot be fetched: %s", self.url, problem)
        self._problem = problem
        if keys is not None and _numbers(keys) != _numbers(self.keys):
            logger.info("the issuer %s publishes %d keys", self.url, len(keys))
            self.keys = keys
            self._changed()
        refreshing, self._refreshing = self._refreshing, None
        assert refreshing is not None
        refreshing.set_result(None)


def _published(url: str, timeout_s: float) -> dict[str, PyJWK]:
    """The RSA keys of the issuer `url`, found as OpenID Connect Discovery 1.0, section 4, says."""
    if not url.startswith("https://"):
        raise ValueError("it is not named by an https address")
    opener = build_opener(_NoRedirect())
    where = f"{url.rstrip('/')}/.well-known/openid-configuration"
    with opener.open(where, timeout=timeout_s) as answer:
        told = json.loads(answer.read(MAX_BYTES))
    if told["issuer"] != url:
        raise ValueError(f"its configuration is of another issuer, {told['issuer']!r}")
    where = str(told["jwks_uri"])
    if not where.startswith("https://"):
        raise ValueError("its keys are not published over https")
    client = PyJWKClient(where, cache_jwk_set=False, timeout=timeout_s)
    return {
        str(key.key_id): key
        for key in client.get_signing_keys()
        if isinstance(key.key, RSAPublicKey) and key.algorithm_name == "RS256"
    }


def _numbers(keys: Mapping[str, PyJWK]) -> dict[str, Any]:
    """What tells whether keys are the same."""
    return {key_id: key.key.public_numbers() for key_id, key in keys.items()}


class _NoRedirect(HTTPRedirectHandler):
    """An issuer tells where its keys are; nobody else does."""

    def redirect_request(self, *_: object) -> None:
        return None
