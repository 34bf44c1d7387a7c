"""A Secret in Kubernetes' protobuf form, in which helm stores its releases; read, never written."""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import Any, Final

MAGIC: Final = b"k8s\x00"


def secret(body: bytes) -> dict[str, Any]:
    """As JSON would say it. Fields by their numbers in k8s.io/api/core/v1/generated.proto."""
    unknown = _fields(body.removeprefix(MAGIC))
    held = _fields(unknown[2][0])
    meta = _fields(held[1][0])
    return {
        "metadata": {
            "name": meta[1][0].decode(),
            "labels": {key: value.decode() for key, value in _mapping(meta[11]).items()},
        },
        "data": {k: base64.b64encode(v).decode() for k, v in _mapping(held[2]).items()},
        "type": held[3][0].decode(),
    }


def _mapping(entries: list[bytes]) -> dict[str, bytes]:
    pairs = [_fields(entry) for entry in entries]
    return {pair[1][0].decode(): pair[2][0] for pair in pairs}


def _fields(message: bytes) -> dict[int, list[bytes]]:
    """Number of a field -> its values, of those that have a length; numbers are passed over."""
    found, at = defaultdict(list), 0
    while at < len(message):
        tag, at = _varint(message, at)
        size, at = _varint(message, at)
        if tag & 7 == 2:
            found[tag >> 3].append(message[at : at + size])
            at += size
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number there, and where the next begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
