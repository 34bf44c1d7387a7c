"""Access tokens of Entra ID, or of any issuer that publishes its keys: JWTs signed with RS256."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt

from app.auth.issuers import COOLDOWN_S, RETRY_S, Issuer
from app.errors import Forbidden, Unauthenticated

LEEWAY_S: Final = 60
"""How far the issuer's clock and ours may be apart."""
MAX_REMEMBERED: Final = 4096
"""Tokens that were verified; about 300 bytes each."""
_REQUIRED: Final = ("exp", "iat", "iss", "aud")
_CALLER: Final = ("azp", "appid", "oid", "sub")
_SAID: Final[Sequence[tuple[type[Exception], str]]] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidSignatureError, "the token's signature is wrong"),
)


class Tokens:
    """What was verified is remembered by its digest until it expires or the issuer's keys change.

    Lives on one loop. No token is kept, logged or told.
    """

    def __init__(
        self,
        issuers: Sequence[str],
        audiences: Sequence[str],
        roles: Sequence[str] = (),
        *,
        cooldown_s: float = COOLDOWN_S,
        retry_s: float = RETRY_S,
    ) -> None:
        """A token must have one of `roles`, as app role or as scope; none: any token will do."""
        self._verified: dict[bytes, tuple[float, str]] = {}
        self._issuers = {
            url: Issuer(url, self._verified.clear, cooldown_s=cooldown_s, retry_s=retry_s)
            for url in issuers
        }
        self._audiences = list(audiences)
        self._roles = frozenset(roles)
        self._keeping: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Fetch the issuers' keys, now and from time to time."""
        self._keeping = [asyncio.create_task(issuer.keep()) for issuer in self._issuers.values()]

    def close(self) -> None:
        """Fetch no more."""
        for task in self._keeping:
            task.cancel()

    def check(self, token: bytes, digest: bytes) -> str:
        """See `Verifier`."""
        remembered = self._verified.get(digest)
        if remembered is not None and time.time() < remembered[0]:
            return remembered[1]
        claims = self._claims(token)
        if self._roles and self._roles.isdisjoint(_roles(claims)):
            raise Forbidden("the token has none of the roles or scopes that may call")
        caller = next((claims[name] for name in _CALLER if isinstance(claims.get(name), str)), "")
        self._remember(digest, int(claims["exp"]) + LEEWAY_S, f"token-{caller}")
        return f"token-{caller}"

    async def verify(self, token: bytes, digest: bytes) -> str:
        """See `Verifier`."""
        try:
            return self.check(token, digest)
        except _KeyMissing as missing:
            await missing.issuer.find(missing.key_id)
        return self.check(token, digest)

    def _claims(self, token: bytes) -> Mapping[str, Any]:
        """What a token says whose signature, issuer, audience and times are right."""
        issuer, key_id = self._signed_by(token)
        if key_id not in issuer.keys:
            raise _KeyMissing(issuer, key_id)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                issuer.keys[key_id],
                algorithms=["RS256"],
                audience=self._audiences,
                issuer=issuer.url,
                leeway=LEEWAY_S,
                options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
            )
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated(f"the token has no {error.claim}") from error
        except jwt.PyJWTError as error:
            said = (words for kind, words in _SAID if isinstance(error, kind))
            raise Unauthenticated(next(said, "the token is not valid")) from error
        return claims

    def _signed_by(self, token: bytes) -> tuple[Issuer, str]:
        """Who says to have signed it, and with which key; nothing is verified yet."""
        try:
            told = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, RecursionError) as error:
            raise Unauthenticated("neither a known key nor a token that can be read") from error
        header, named = told["header"], told["payload"].get("iss")
        if header.get("alg") != "RS256":
            raise Unauthenticated("the token is not signed with RS256")
        if "kid" not in header:
            raise Unauthenticated("the token does not say which key it is signed with")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise Unauthenticated("the token is of another issuer")
        return issuer, header["kid"]

    def _remember(self, digest: bytes, until: float, caller: str) -> None:
        if len(self._verified) >= MAX_REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = (until, caller)


class _KeyMissing(Unauthenticated):
    """The key is not in memory; its issuer may publish it."""

    def __init__(self, issuer: Issuer, key_id: str) -> None:
        super().__init__("the token cannot be verified yet")
        self.issuer = issuer
        self.key_id = key_id


def _roles(claims: Mapping[str, Any]) -> set[str]:
    """App roles, which are a list, and scopes, which are one text (RFC 8693, section 4.2)."""
    roles, scopes = claims.get("roles"), claims.get("scp")
    named = {role for role in roles if isinstance(role, str)} if isinstance(roles, list) else set()
    return named | set(scopes.split(" ")) if isinstance(scopes, str) else named
