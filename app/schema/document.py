"""The text of a body -> a JSON document, or a refusal that tells the place of the fault.

orjson holds Python's global lock from the first byte to the last, half a second for 50 MB, in
which no probe is answered. A list of records is therefore cut between records, and read in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

import orjson

from app.errors import BadRequest

PIECE_BYTES: Final = 256 * 1024
"""About 3 ms of reading."""
_LARGE_BYTES: Final = 4 * PIECE_BYTES
_HEAD: Final = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"(data|input_data)"[ \t\r\n]*:[ \t\r\n]*\[([\[{" \t\r\n]*)'
)
_CLOSER: Final = {ord("["): rb"\]", ord("{"): rb"\}"}
_MAX_MISSES: Final = 8
_REST: Final = "\0rest"


def loads(body: bytes) -> Any:
    """The document, whatever its size.

    Raises:
        BadRequest: the body is empty, or no JSON.
    """
    if not body:
        raise BadRequest('the body is empty; send {"data": ...}')
    try:
        return orjson.loads(body) if len(body) <= _LARGE_BYTES else _whole(body)
    except orjson.JSONDecodeError as error:
        _refuse(error)


def _refuse(error: orjson.JSONDecodeError) -> NoReturn:
    token = error.doc[error.pos : error.pos + 9].lstrip("-")
    if token.startswith(("NaN", "Infinity")):
        raise BadRequest("NaN and Infinity are not JSON; send null") from None
    raise BadRequest(
        f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    ) from None


def in_pieces(body: bytes, read: Callable[[bytes], list[Any]]) -> tuple[str, list[Any], int] | None:
    """The key of a list of records, what `read` makes of them but the last ones, where these begin.

    None, where there is no such list, or where it cannot be cut.

    Args:
        read: of a list of whole records; a ValueError says that it is none.
    """
    head = _HEAD.match(body)
    if head is None:
        return None
    end_of_record = _end_of_record(head[2])
    found: list[Any] = []
    at, misses, look_at = head.start(2), 0, head.start(2) + PIECE_BYTES
    while len(body) - at > 2 * PIECE_BYTES:
        cut = end_of_record.search(body, look_at, look_at + 4 * PIECE_BYTES)
        if cut is None or misses > _MAX_MISSES:
            return None
        try:
            # When this is JSON, the cut lies between two records: nothing is open before it.
            found += read(b"[%b]" % body[at : cut.end() - 1])
        except ValueError:
            misses, look_at = misses + 1, cut.end()
        else:
            at, look_at = cut.end(), cut.end() + PIECE_BYTES
    return head[1].decode(), found, at


def _whole(body: bytes) -> Any:
    """As `orjson.loads`, with which it shares its errors."""
    found = in_pieces(body, orjson.loads)
    return orjson.loads(body) if found is None else _with_rest(body, *found)


def _end_of_record(opening: bytes) -> re.Pattern[bytes]:
    """What closes a record which begins with `opening`, and the comma after it."""
    if opening.startswith(b'"'):
        return re.compile(rb'[^\\]"\s*,')
    closers = [_CLOSER[byte] for byte in opening if byte in _CLOSER]
    return re.compile(rb"\s*".join([*reversed(closers), b","]))


def _with_rest(body: bytes, key: str, read: list[Any], at: int) -> Any:
    """The document from its last records on, with those that were read put before them."""
    try:
        document = orjson.loads(b'{"\\u0000rest":[%b' % body[at:])
    except orjson.JSONDecodeError:
        return orjson.loads(body)  # which names the right place
    rest = document.pop(_REST)
    read += rest
    document.setdefault(key, read)  # of equal keys the last one counts
    return document
