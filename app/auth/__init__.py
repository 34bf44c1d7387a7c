"""Who may call: API keys, and tokens of an issuer. One `verify` for every protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from app.auth.keys import LOOK_S, Keys
from app.errors import Forbidden, Unauthenticated


class Verifier(Protocol):
    """Who shows a token: `tokens.Tokens`, which a server without an issuer never imports."""

    def start(self) -> None:
        """Learn in the background what verifying needs; called on the loop."""
        ...

    def close(self) -> None:
        """Stop that."""
        ...

    def check(self, token: bytes, digest: bytes) -> str:
        """Who shows it, by what is in memory.

        Raises:
            Unauthenticated: it is not valid, or what would tell is not in memory.
            Forbidden: it is valid, and lacks the role.
        """
        ...

    async def verify(self, token: bytes, digest: bytes) -> str:
        """Who shows it; the issuer is asked when what is in memory does not tell.

        Raises: as `check`, and
            IssuerUnavailable: the issuer could not be asked.
        """
        ...


class Auth:
    """A caller shows a key or a token, in either of two headers; keys are tried first."""

    def __init__(
        self,
        keys: Sequence[str],
        file: Path | None,
        tokens: Verifier | None = None,
        *,
        look_s: float = LOOK_S,
    ) -> None:
        """`keys` empty, `file` and `tokens` None: open to all."""
        self._keys = Keys(keys, file, look_s=look_s)
        self._tokens = tokens
        self.is_open = tokens is None and not self._keys.are_set

    def start(self) -> None:
        """Called on the loop, before the first request."""
        if self._tokens is not None:
            self._tokens.start()

    def close(self) -> None:
        """Called on the loop, after the last request."""
        if self._tokens is not None:
            self._tokens.close()

    async def verify(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Who calls: a name that is no secret; None when all may call. Waits only for an issuer.

        Args:
            headers: lower-case names.

        Raises:
            Unauthenticated: no credential, or one that is not known or not valid.
            Forbidden: a valid token without the role.
            IssuerUnavailable: a token that cannot be verified now.
        """
        if self.is_open:
            return None
        known = self._known(headers)
        if isinstance(known, str):
            return known
        verifier, token, digest = known
        return await verifier.verify(token, digest)

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """The caller may be shown names of models, as far as can be told at once."""
        if self.is_open:
            return True
        try:
            known = self._known(headers)
            if not isinstance(known, str):
                verifier, token, digest = known
                verifier.check(token, digest)
        except (Unauthenticated, Forbidden):
            return False
        return True

    def _known(self, headers: Mapping[bytes, bytes]) -> str | tuple[Verifier, bytes, bytes]:
        """The name of the key that is shown, or the token, its digest, and who can verify it."""
        credentials = _credentials(headers)
        if not credentials:
            if self._tokens is None:
                raise Unauthenticated(
                    "a key is needed: Authorization: Bearer KEY, or x-api-key: KEY"
                )
            what = "a token or a key is needed: Authorization: Bearer TOKEN, or x-api-key: KEY"
            raise Unauthenticated(what)
        digests = [hashlib.sha256(credential).digest() for credential in credentials]
        caller = self._keys.caller(digests)
        if caller is not None:
            return caller
        if self._tokens is not None:
            for credential, digest in zip(credentials, digests, strict=True):
                if credential.count(b".") == 2:
                    return self._tokens, credential, digest
        raise Unauthenticated("the key is not known here")


def _credentials(headers: Mapping[bytes, bytes]) -> list[bytes]:
    """What could be a key; a gateway may add an Authorization of its own to the caller's key."""
    scheme, _, value = headers.get(b"authorization", b"").strip().partition(b" ")
    bearer = value.strip() if scheme.lower() == b"bearer" else b""
    given = (bearer, headers.get(b"x-api-key", b"").strip())
    return [credential for credential in given if credential]
