"""Which version of a name answers a request: by its label, or by a share of the traffic. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

_RANGE: Final = 2**32
"""Of a checksum (zlib.crc32)."""


class Asker(Protocol):
    """What is known of a request that may tell its version."""

    @property
    def request_id(self) -> bytes:
        """The caller's, or ours."""
        ...

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """By lower-case names."""
        ...


@dataclass(frozen=True, slots=True)
class Lineup:
    """What the operator says of the versions of one name."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Label -> version."""
    traffic: Mapping[str, float] = field(default_factory=dict)
    """Version -> its share of the requests that name none; none: one version has them all."""
    traffic_by: bytes = b""
    """The header whose value decides, so that a user stays with a version; else the request id."""
    shadow: str = ""
    """The version that is asked the same, and not heard."""

    def versions(self) -> list[str]:
        """All that are named, each once."""
        shadow = [self.shadow] if self.shadow else []
        return list(dict.fromkeys([*self.traffic, *self.labels.values(), *shadow]))

    def order(self, asker: Asker | None) -> Iterator[str]:
        """The version that is to answer, then the others, should it not be there.

        The same value of the header, or the same request id, gives the same order.
        """
        left = {version: share for version, share in self.traffic.items() if share > 0}
        place = self._place(asker)
        while left:
            at = place * sum(left.values()) / _RANGE
            chosen = ""
            for chosen, share in left.items():  # noqa: B007  # it is the one that the loop ends at
                at -= share
                if at < 0:
                    break
            yield chosen
            del left[chosen]

    def _place(self, asker: Asker | None) -> int:
        if asker is None:
            return 0
        by = asker.headers.get(self.traffic_by, b"") if self.traffic_by else b""
        return zlib.crc32(by or asker.request_id)


class Lineups:
    """Those of all names that have more than one version to choose from."""

    def __init__(self) -> None:
        self._by_name: dict[str, Lineup] = {}
        self._labels: dict[tuple[str, str | None], str] = {}
        """Name and label -> version."""
        self.has_shadows = False

    def put(self, name: str, lineup: Lineup) -> None:
        """In place of what was said of `name` before."""
        for key in [key for key in self._labels if key[0] == name]:
            del self._labels[key]
        self._by_name.pop(name, None)
        if lineup.versions():
            self._by_name[name] = lineup
        self.has_shadows = any(each.shadow for each in self._by_name.values())
        for label, version in lineup.labels.items():
            self._labels[name, label] = version

    def of(self, name: str) -> Lineup | None:
        """What is said of it; None when nothing is."""
        return self._by_name.get(name)

    def split(self, name: str) -> Lineup | None:
        """As `of`, when versions share the traffic."""
        lineup = self._by_name.get(name)
        return lineup if lineup is not None and lineup.traffic else None

    def version(self, name: str, asked: str | None) -> str | None:
        """What a label stands for; all else stands for itself."""
        return self._labels.get((name, asked), asked) if self._labels else asked
