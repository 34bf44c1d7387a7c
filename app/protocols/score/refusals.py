"""The error envelope of this family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.errors import (
    AnswerInvalid,
    DeadlineExceeded,
    MethodNotAllowed,
    ModelFailed,
    SchemaMismatch,
    ServingError,
    Unauthenticated,
)
from app.pool import Loaded
from app.telemetry import Trace
from app.tensors import Reply

_JSON: Final = (b"content-type", b"application/json")
_RUNNING: Final = ("queue", "predict")
ENVELOPE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["message", "code", "request_id", "errors"],
    "properties": {
        "message": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "maxItems": 20,
            "items": {
                "type": "object",
                "required": ["row", "column", "expected", "got", "message"],
                "properties": {
                    "row": {"type": ["integer", "null"]},
                    "column": {"type": ["string", "integer", "null"]},
                    "expected": {"type": "string"},
                    "got": {"type": "string"},
                    "message": {"type": "string"},
                    "suggestion": {"type": "string"},
                },
            },
        },
    },
}
"""Of every refusal, as JSON Schema."""


def refusal(
    error: ServingError, trace: Trace, given: Mapping[bytes, bytes], loaded: Loaded | None = None
) -> Reply:
    """For a request with the headers `given`, to the model `loaded` as far as that was found."""
    is_script = loaded is not None and loaded.schema.signature.kind == "raw"
    has_raised = isinstance(error, ModelFailed) and not isinstance(error, AnswerInvalid)
    run_failed = has_raised or (trace.phase in _RUNNING and not isinstance(error, AnswerInvalid))
    headers = [_JSON, (b"x-ms-run-function-failed", b"True" if run_failed else b"False")]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if trace.ref is not None:
        headers.append((b"x-model-name", trace.ref.name.encode()))
        headers.append((b"x-model-version", trace.ref.version.encode()))
    # A body that may never come would be waited for on this connection (RFC 9110, section 10.1.1).
    if b"expect" in given or (isinstance(error, DeadlineExceeded) and trace.phase == "admit"):
        headers.append((b"connection", b"close"))
    told = _of_script(error, trace) if is_script else _told(error, trace)
    return Reply(error.status, headers, orjson.dumps(told))


def _told(error: ServingError, trace: Trace) -> dict[str, object]:
    faults = error.faults if isinstance(error, SchemaMismatch) else ()
    return {
        "message": error.message,
        "code": error.code,
        "request_id": trace.request_id,
        "errors": [fault.as_dict() for fault in faults],
    }


def _of_script(error: ServingError, trace: Trace) -> dict[str, object]:
    """As azureml-inference-server-http tells it: a message, and nothing else."""
    if isinstance(error, DeadlineExceeded) and trace.phase in _RUNNING:
        return {"message": f"Scoring timeout after {round(trace.age_s() * 100) * 10} ms"}
    return {"message": error.message}
