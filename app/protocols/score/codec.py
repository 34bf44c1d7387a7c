"""`{"data": ...}` in, `{"results": ...}` out; of scripts, requests and answers as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from app.batching import Predicted
from app.engine import Query
from app.errors import BadRequest, UnsupportedMediaType
from app.pool import Loaded
from app.schema import Schema
from app.schema.document import loads
from app.schema.results import results
from app.tensors import Call, RawBatch, RawRequest, Reply

JSON: Final = (b"content-type", b"application/json")
_RAN: Final = (b"x-ms-run-function-failed", b"False")
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "text/plain")
"""What curl --data and browsers call a body that is JSON all the same."""
_PATH: Final = "/score"


class ScoreCodec:
    """See `Codec`."""

    def target(self, body: bytes) -> tuple[str | None, str | None]:
        """See `Codec`; the keys `model_name` and `model_version`."""
        if b"model_" not in body and b"\\" not in body:  # an escape may spell it as well
            return None, None
        document = loads(body)
        if not isinstance(document, dict):
            return None, None
        name, version = document.get("model_name"), document.get("model_version")
        if not isinstance(name, (str, type(None))):
            raise BadRequest("model_name must be a text")
        if not isinstance(version, (str, int, type(None))) or isinstance(version, bool):
            raise BadRequest("model_version must be a text or a number")
        return name, None if version is None else str(version)

    def decode(self, body: bytes, schema: Schema, query: Query) -> Call:
        """See `Codec`."""
        if schema.signature.kind == "raw":
            return Call(RawBatch.of_request(_whole(body, query)), single=True)
        if query.headers.get(b"content-type") != JSON[1]:
            _check_type(body, query.headers)
        return schema.read(body)

    def encode(self, call: Call, predicted: Predicted | None, loaded: Loaded) -> Reply:
        """See `Codec`."""
        prediction = {} if predicted is None else predicted.prediction
        if isinstance(call.batch, RawBatch):
            reply: Reply = prediction["reply"]
            reply.headers = (*reply.headers, *loaded.headers)
            return reply
        answer = results(prediction, call, loaded.schema.signature)
        body = orjson.dumps(
            answer if call.bare else {"results": answer},
            option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS,
        )
        headers = [JSON, _RAN, *loaded.headers]
        if predicted is not None:
            ms = (predicted.ended_at - predicted.started_at) * 1e3
            headers.append((b"x-ms-run-fn-exec-ms", b"%.3f" % ms))
        return Reply(200, headers, body)


def _whole(body: bytes, query: Query) -> RawRequest:
    """As the client sent it to the one script of a server."""
    headers = tuple(query.headers.items())
    request_id = query.request_id.decode("latin-1")
    return RawRequest(
        query.method, _PATH, query.query_string, headers, body, query.client, request_id
    )


def is_maybe_json(content_type: bytes) -> bool:
    """A body of that type may be what native models take."""
    named = _named(content_type)
    return named in ("", "application/json", *_FORM_TYPES) or named.endswith("+json")


def _check_type(body: bytes, headers: Mapping[bytes, bytes]) -> None:
    """Raises: UnsupportedMediaType: a content type that native models do not take."""
    content_type = headers.get(b"content-type", b"")
    is_form = _named(content_type) in _FORM_TYPES
    if not is_maybe_json(content_type) or (is_form and body and not body.startswith(b"{")):
        raise UnsupportedMediaType("send JSON, with Content-Type: application/json")


def _named(content_type: bytes) -> str:
    return content_type.split(b";")[0].strip().lower().decode("latin-1")
