"""Bytes as people write them."""

from __future__ import annotations

import re
from typing import Final

BYTES: Final = "bytes as a whole number from 1, also with k, M, G, T, Ki, Mi, Gi or Ti, as in 512Mi"

_UNITS: Final = {
    **{"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4},
    **{"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4},
}
_QUANTITY: Final = re.compile(r"([0-9]+)([A-Za-z]*)")


def parse_bytes(text: str) -> int:
    """The bytes that a Kubernetes quantity such as `512Mi` stands for.

    Raises: ValueError.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        raise ValueError(BYTES)
    return int(match[1]) * _UNITS[match[2]]
