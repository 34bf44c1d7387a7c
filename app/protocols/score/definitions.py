"""What a Swagger document says of requests, answers and errors: of a script, of a native model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from app.protocols.score.refusals import ENVELOPE
from app.schema import bodies
from app.schema.dialect import Dialect
from app.tensors import Signature

Json = dict[str, Any]

VERSIONS: Final = ("2", "3", "3.1")
"""Of the documents that there are."""
_DECLARED: Final = {"2.0": "2", "3.0": "3", "3.1": "3.1"}
_ANYTHING: Final = {"type": "object", "example": {}}
_MESSAGE: Final = {"type": "object", "properties": {"message": {"type": "string"}}}


class Definitions(Protocol):
    """The schemas of one model."""

    @property
    def versions(self) -> Sequence[str]:
        """Those of `VERSIONS` that have words for them."""
        ...

    def of(self, version: str) -> Json:
        """`ServiceInput`, `ServiceOutput` and `ErrorResponse`, and what these refer to."""
        ...


@dataclass(frozen=True, slots=True)
class OfScript:
    """As its decorators declare it; without them it takes and gives anything."""

    declared: Mapping[str, Any] = field(default_factory=dict)
    """`input`, `output` and `versions`, or nothing."""

    @property
    def versions(self) -> Sequence[str]:
        """See `Definitions`."""
        told = self.declared.get("versions")
        return VERSIONS if told is None else [_DECLARED.get(v, v) for v in told]

    def of(self, version: str) -> Json:
        """See `Definitions`."""
        taken = self.declared.get("input", _ANYTHING)
        given = self.declared.get("output", _ANYTHING)
        return {"ServiceInput": taken, "ServiceOutput": given, "ErrorResponse": _MESSAGE}


@dataclass(frozen=True, slots=True)
class OfSignature:
    """What a native model takes and gives."""

    signature: Signature
    versions: Sequence[str] = VERSIONS

    def of(self, version: str) -> Json:
        """See `Definitions`. Swagger 2 has no choice of schemas, so it tells of batches alone."""
        signature, takes_one = self.signature, version != "2"
        dialect = Dialect(version, signature.declared or {}, "ServiceInput.")
        taken = dialect.of(bodies.request(signature, takes_one=takes_one))
        given = dialect.of(bodies.answer(signature, takes_one=takes_one))
        return {
            "ServiceInput": {**taken, "example": bodies.batch_example(signature)},
            "ServiceOutput": given,
            "ErrorResponse": dialect.of(ENVELOPE),
            **dialect.parts(),
        }
