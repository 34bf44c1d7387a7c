"""What the operator wants collected of a model. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.schema.results import plain
from app.tensors import Signature

_RANGE: Final = 2**64


@dataclass(frozen=True, slots=True)
class Rule:
    """Of one model."""

    to: str
    """URL of the place: `file:///PATH`, or a container in Blob storage."""
    sample: float = 1.0
    """The share of requests, from 0 to 1."""
    drop: frozenset[str] = frozenset()
    """Inputs and outputs that are left out."""
    hash: frozenset[str] = frozenset()
    """Those of which only the HMAC of each value is kept."""
    salt: bytes = field(default=b"", repr=False)
    """Its key."""

    @property
    def has_columns(self) -> bool:
        """Something is not to be seen as it is."""
        return bool(self.drop or self.hash)

    def takes(self, request_id: bytes) -> bool:
        """Whether a request is among them: the same in every process, for the same id.

        By another hash than the one that shares the traffic (`catalog.lineup`): with the same, a
        small sample would be of one version only.
        """
        if self.sample >= 1:
            return True
        digest = hashlib.blake2b(request_id, digest_size=8, person=b"collect").digest()
        return int.from_bytes(digest, "big") < self.sample * _RANGE

    def hashed(self, values: Any) -> list[Any]:
        """Of each row its HMAC-SHA256 (RFC 2104) in hexadecimal; null stays null.

        Of a text its UTF-8 is taken, of all else its JSON.
        """
        rows = plain(values)
        return [self._hashed(value) for value in (rows if isinstance(rows, list) else [rows])]

    def _hashed(self, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, str):
            text = value.encode("utf-8", "surrogatepass")
        else:
            text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
        return hmac.digest(self.salt, text, "sha256").hex()

    def doubts(self, signature: Signature) -> Iterator[str]:
        """What the operator should know before he relies on it."""
        if signature.kind == "raw":
            if self.has_columns:
                yield (
                    "a script has no columns to drop or hash, so nothing of it is collected but "
                    "the tables that it hands over itself"
                )
            return
        known = {spec.name for spec in (*signature.inputs, *signature.outputs)}
        known.update(signature.aliases)
        if unknown := sorted((self.drop | self.hash) - known):
            names = ", ".join(name[:100] for name in unknown[:10])
            yield f"collect.columns names what the model neither takes nor gives: {names}"
