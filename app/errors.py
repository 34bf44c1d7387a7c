"""Every deliberate error: its status, its code, and what the client sees.

ServingError
  BadRequest              400  bad-request
    ModelNotNamed         400  model-not-named
  Unauthenticated         401  unauthenticated
  Forbidden               403  forbidden
  NotFound                404  not-found
    ModelNotFound         404  model-not-found
  MethodNotAllowed        405  method-not-allowed
  BodyTooLarge            413  body-too-large
  UnsupportedMediaType    415  unsupported-media-type
  SchemaMismatch          422  schema-mismatch
  TooManyRequests         429  too-many-requests
  IdTooLong               431  id-too-long
  ClientLeft              499  client-left
  ModelFailed             502  model-failed
    AnswerInvalid              what it gave cannot be sent
  Overloaded              503  overloaded
  ModelLoading            503  model-loading
  ModelUnavailable        503  model-unavailable
    ModelInvalid               its files or its answers are at fault
      GoldenMismatch           its answers are not the known ones
    RegistryUnavailable        where it comes from cannot be read
  IssuerUnavailable       503  issuer-unavailable
  DeadlineExceeded        504  deadline-exceeded

All else that is raised is a bug: logged with its traceback, answered 500 `internal` without detail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

MAX_FAULTS = 20
"""Faults told in one answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One place where a payload does not fit its schema; says kinds of values, never a value."""

    row: int | None
    """0-based; None for a single record."""
    column: str | int | None
    """Name, or 0-based position in a list."""
    expected: str
    got: str
    suggestion: str | None = None

    @property
    def message(self) -> str:
        """For people: `row 2, column "income": expected a number, got a string`."""
        place = [] if self.row is None else [f"row {self.row}"]
        if self.column is not None:
            name = f'"{self.column}"' if isinstance(self.column, str) else str(self.column)
            place.append(f"column {name}")
        where = ", ".join(place)
        hint = "" if self.suggestion is None else f'; did you mean "{self.suggestion}"?'
        return f"{where}{': ' if where else ''}expected {self.expected}, got {self.got}{hint}"

    def as_dict(self) -> dict[str, object]:
        """As it travels in the `errors` of an answer."""
        told: dict[str, object] = {
            "row": self.row,
            "column": self.column,
            "expected": self.expected,
            "got": self.got,
            "message": self.message,
        }
        if self.suggestion is not None:
            told["suggestion"] = self.suggestion
        return told


class ServingError(Exception):
    """A deliberate refusal; its text is for the client and holds no path, key or traceback."""

    status: int = 500
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class BadRequest(ServingError):
    """The body or the query cannot be read at all."""

    status = 400
    code = "bad-request"


class ModelNotNamed(BadRequest):
    """Several models are served and the request names none."""

    code = "model-not-named"


class Unauthenticated(ServingError):
    """No credential, or one that is not known or not valid."""

    status = 401
    code = "unauthenticated"


class Forbidden(ServingError):
    """A credential that is known, and may not do this."""

    status = 403
    code = "forbidden"


class NotFound(ServingError):
    """No such route."""

    status = 404
    code = "not-found"


class ModelNotFound(NotFound):
    """No such model or version, here or in the registry."""

    code = "model-not-found"

    def __init__(self, message: str, *, near: Sequence[str] = ()) -> None:
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"{message}{hint}")


class MethodNotAllowed(ServingError):
    """The route exists, the method does not."""

    status = 405
    code = "method-not-allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class BodyTooLarge(ServingError):
    """One body over its limit."""

    status = 413
    code = "body-too-large"


class UnsupportedMediaType(ServingError):
    """A content type, or a content encoding, that is not taken."""

    status = 415
    code = "unsupported-media-type"


class SchemaMismatch(ServingError):
    """The payload was read, and does not fit the model's schema."""

    status = 422
    code = "schema-mismatch"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults[:MAX_FAULTS])

    @classmethod
    def of(cls, faults: Sequence[Fault]) -> SchemaMismatch:
        """Of at least one fault; the text holds the first ones."""
        told = "; ".join(fault.message for fault in faults[:3])
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        return cls(f"{told}{more}", faults)


class TooManyRequests(ServingError):
    """The caller's own limit."""

    status = 429
    code = "too-many-requests"


class IdTooLong(ServingError):
    """A request id header over 100 characters."""

    status = 431
    code = "id-too-long"


class ClientLeft(ServingError):
    """The client closed its connection before its body had come; nobody reads the answer.

    nginx's status, so that no dashboard counts it among the errors of clients that stayed.
    """

    status = 499
    code = "client-left"


class ModelFailed(ServingError):
    """The model's own code raised; the cause is in the log."""

    status = 502
    code = "model-failed"


class AnswerInvalid(ModelFailed):
    """What the model's own code gave cannot be sent; it did not raise."""


class Overloaded(ServingError):
    """More than this process takes at once."""

    status = 503
    code = "overloaded"


class ModelLoading(ServingError):
    """The model is on its way and did not arrive within the deadline."""

    status = 503
    code = "model-loading"


class ModelUnavailable(ServingError):
    """The model is known and cannot be served now; the text says why."""

    status = 503
    code = "model-unavailable"


class ModelInvalid(ModelUnavailable):
    """The files of a model cannot be served as they are."""


class GoldenMismatch(ModelInvalid):
    """A loaded model does not give its known answers."""


class RegistryUnavailable(ModelUnavailable):
    """The place where models come from cannot be read."""


class IssuerUnavailable(ServingError):
    """The issuer of a token cannot be asked for its keys, so nobody can say whether it is valid."""

    status = 503
    code = "issuer-unavailable"


class DeadlineExceeded(ServingError):
    """The answer was not ready in time, or the body did not arrive in time."""

    status = 504
    code = "deadline-exceeded"
