"""What is served: that which the settings list, and over it what an administrator asked for; and
which of it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from app.catalog.desired import Desires
from app.catalog.entries import Entries
from app.catalog.entry import Entry
from app.catalog.lineup import Asker, Lineup, Lineups
from app.catalog.status import Wanted
from app.pool import Loaded, Options, Pool
from app.registries import Registry
from app.tensors import ModelRef

Make = Callable[[Wanted, Registry, bool], Entry]
"""Of what is wanted, where it comes from, and whether the operator named it."""


class Roster:
    """The entries of one process, and how its names share their versions."""

    def __init__(
        self,
        registries: Mapping[str, Registry],
        pool: Pool,
        make: Make,
        *,
        default_model: str | None,
        options: Options,
    ) -> None:
        """The first of `registries` is the default one; `options` hold for what is not listed."""
        self._registries = registries
        self._default_registry = next(iter(registries.values()))
        self._pool = pool
        self._make = make
        self._default_model = default_model
        self._options = options
        self._listed: Sequence[Wanted] = ()
        self.desires = Desires()
        self.entries = Entries()
        self.lineups = Lineups()
        self.is_observed = False
        """Some answers are told to `observers`."""

    def put(self, listed: Sequence[Wanted]) -> list[Entry]:
        """Serve these in place of those listed before; gives the entries that are new."""
        self._listed = listed
        return self._arrange()

    def desire(self, desires: Desires) -> list[Entry]:
        """What an administrator asks for goes over what is listed; gives the new entries."""
        self.desires = desires
        return self._arrange()

    def get(self, name: str, version: str | None, asker: Asker | None) -> Loaded | None:
        """As `Catalog.get`."""
        if version is None:
            split = self.lineups.split(name)
            if split is not None:
                return self._share(name, split, asker)
        else:
            version = self.lineups.version(name, version)
        entry = self.entries.get(name, version)
        return None if entry is None else entry.get()

    def _share(self, name: str, split: Lineup, asker: Asker | None) -> Loaded | None:
        """The first of those that may answer which is in memory."""
        for version in split.order(asker):
            entry = self.entries.at(name, version)
            loaded = None if entry is None else entry.get()
            if loaded is not None:
                return loaded
        return None

    def ask(self, name: str, version: str | None) -> Entry:
        """An entry for what only a request named; as its name, if that is there already."""
        wanted, other = self.unlisted(name, version), self.entries.get(name, None)
        if other is not None:
            wanted = replace(wanted, options=other.wanted.options)
        entry = self._make(wanted, self.registry_of(name), False)
        self.entries.put(entry)
        return entry

    def registry_of(self, name: str) -> Registry:
        """Where it comes from, or would."""
        entry = self.entries.get(name, None)
        return self._default_registry if entry is None else entry.registry

    def unlisted(self, name: str, version: str | None = None) -> Wanted:
        """What holds for a model that nobody lists."""
        return Wanted(name, version, is_preloaded=False, is_required=False, options=self._options)

    def let_go(self, ref: ModelRef) -> None:
        """It leaves the memory, unless an entry has it."""
        if all(entry.ref != ref for entry in self.entries):
            self._pool.release(ref)

    def _arrange(self) -> list[Entry]:
        """Name what is to be served, and let go of what is not any more."""
        before = {entry for entry in self.entries if entry.is_named}
        wanted = self.desires.over(self._listed, self.unlisted)
        named = [entry for model in wanted for entry in self._want(model)]
        default = self._default_model
        if default is not None and self.entries.get(default, None) is None:
            named.append(self._name(self.unlisted(default)))
        for entry in before.difference(named):
            self.entries.forget(entry)
            if entry.ref is not None:
                self.let_go(entry.ref)
        collects = any(model.options.collect is not None for model in wanted)
        self.is_observed = collects or self.lineups.has_shadows
        return [entry for entry in named if entry not in before]

    def _want(self, wanted: Wanted) -> Iterator[Entry]:
        """A model that the operator lists, with the versions that he names besides."""
        lineup = wanted.lineup
        self.lineups.put(wanted.name, lineup)
        if not (lineup.traffic and wanted.version is None):
            yield self._name(wanted)
        for version in lineup.versions():
            is_heard = version != lineup.shadow
            yield self._name(
                replace(
                    wanted,
                    version=version,
                    is_required=wanted.is_required and is_heard,
                    may_answer=version in lineup.traffic,
                )
            )

    def _name(self, wanted: Wanted) -> Entry:
        """The entry of what the operator names, which a request may have asked for before."""
        entry = self.entries.at(wanted.name, wanted.version)
        if entry is None:
            registry = self._default_registry
            if wanted.registry:
                registry = self._registries[wanted.registry]
            entry = self._make(wanted, registry, True)
        if entry.ref is not None and wanted.options != entry.wanted.options:
            self._pool.adjust(entry.ref, wanted.options)
        entry.wanted, entry.is_named = wanted, True
        self.entries.put(entry)
        return entry
