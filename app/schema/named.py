"""Requests that call their input by its own name, as those of `service_schema.json` do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, Final

from app.errors import BadRequest
from app.tensors import Signature, storage

RESERVED: Final = ("data", "input_data", "outputs", "params", "model_name", "model_version")
"""Keys of a request that mean the same for every model."""
_DATA: Final = RESERVED[:2]
_EXACT: Final = 2**53
_MAX_DEPTH: Final = 32
"""Lists in lists; numpy has no more axes than 64."""


def own_names(signature: Signature) -> tuple[str, ...]:
    """What requests may call the inputs in place of `data`; a name that is reserved keeps its
    meaning.
    """
    names = signature.input_names
    return () if len(names) == 1 and names[0] in RESERVED else names


def renamed(document: dict[str, Any], signature: Signature) -> dict[str, Any]:
    """The request with `data` in place of the names, and its numbers cast where they are to be.

    Raises:
        BadRequest: it has another key, or its input twice.
    """
    names = own_names(signature)
    for key in document:
        if key not in RESERVED and key not in names:
            known = [*dict.fromkeys((*names, *RESERVED))]
            near = difflib.get_close_matches(key[:100], known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known)}"
            raise BadRequest(f'the body has an unknown key "{key[:100]}"; {hint}')
    given = [name for name in names if name in document]
    if set(given) - set(_DATA):
        document = _with_data(document, given, names)
    if signature.casts:
        for key in _DATA:
            if key in document:
                document = {**document, key: _cast(document[key], signature)}
    return document


def _with_data(
    document: dict[str, Any], given: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    for other in _DATA:
        if other in document and other not in names:
            raise BadRequest(f"the body has both {other} and {given[0]}; send one of them")
    missing = [name for name in names if name not in given]
    if missing:
        raise BadRequest(f'the body has no "{missing[0]}"; its inputs are {", ".join(names)}')
    rest = {key: value for key, value in document.items() if key not in names}
    if len(names) == 1:
        return {**rest, "data": document[names[0]]}
    return {**rest, "data": {name: document[name] for name in names}}


def _cast(data: Any, signature: Signature) -> Any:
    """As numpy casts numbers with a fraction to integers: towards zero."""
    if isinstance(data, dict):
        whole = {s.name for s in signature.inputs if storage(s.dtype).kind in "iu"}
        return {key: _truncated(v) if key in whole else v for key, v in data.items()}
    is_whole = all(storage(spec.dtype).kind in "iu" for spec in signature.inputs)
    return _truncated(data) if is_whole else data


def _truncated(value: Any, depth: int = 0) -> Any:
    if type(value) is list and depth < _MAX_DEPTH:
        return [_truncated(item, depth + 1) for item in value]
    return int(value) if type(value) is float and abs(value) <= _EXACT else value
