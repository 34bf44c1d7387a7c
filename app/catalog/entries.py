"""The entries by name and version, and which of them answers for its name."""

from __future__ import annotations

import bisect
from collections.abc import Iterator

from app.catalog.entry import Entry
from app.registries import version_age


class Entries:
    """Those that the operator named, and those that requests asked for."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[str | None, Entry]] = {}
        """Name -> version, or None for the newest -> entry."""
        self._answers: dict[str, Entry] = {}
        """Name -> the entry of requests that name no version."""
        self.names: list[str] = []
        """Of those that the operator named, sorted."""

    def __iter__(self) -> Iterator[Entry]:
        return iter([e for versions in self._by_name.values() for e in versions.values()])

    def get(self, name: str, version: str | None) -> Entry | None:
        """Of a version; None: the one that answers for its name."""
        return self._answers.get(name) if version is None else self.at(name, version)

    def at(self, name: str, version: str | None) -> Entry | None:
        """The very one; None as version is the newest, whatever answers."""
        versions = self._by_name.get(name)
        return None if versions is None else versions.get(version)

    def put(self, entry: Entry) -> None:
        """A new one, or one whose part in its name has changed."""
        name = entry.wanted.name
        self._by_name.setdefault(name, {})[entry.wanted.version] = entry
        self._arrange(name)

    def forget(self, entry: Entry) -> None:
        """It is no more, unless another one has taken its place."""
        name, version = entry.wanted.name, entry.wanted.version
        if self.at(name, version) is entry:
            del self._by_name[name][version]
            self._arrange(name)

    def _arrange(self, name: str) -> None:
        """Of those that the operator named the newest, or the newest listed; else the asked for."""
        entries = list(self._by_name[name].values())
        named = [entry for entry in entries if entry.is_named]
        heard = [entry for entry in named if entry.wanted.may_answer]
        candidates = heard or [entry for entry in entries if entry.wanted.version is None]
        self._answers.pop(name, None)
        if candidates:
            self._answers[name] = max(candidates, key=_newness)
        if not entries:
            del self._by_name[name]
        place = bisect.bisect_left(self.names, name)
        is_listed = self.names[place : place + 1] == [name]
        if named and not is_listed:
            self.names.insert(place, name)
        elif is_listed and not named:
            del self.names[place]


def _newness(entry: Entry) -> tuple[bool, object]:
    version = entry.wanted.version
    return version is None, version_age(version or "")
