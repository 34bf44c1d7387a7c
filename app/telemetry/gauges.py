"""What is read, not counted: of one worker, and of several together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar


@dataclass(frozen=True, slots=True)
class ModelGauges:
    """What the catalog knows of one model version at the moment of a scrape."""

    name: str
    version: str
    is_ready: bool
    runtime: str = ""
    digest: str = ""
    fetch_s: float = 0.0
    load_s: float = 0.0
    size_bytes: int = 0

    def joined(self, other: ModelGauges) -> ModelGauges:
        """Of two workers together: ready when it is in both, which took as long as the slower."""
        return replace(
            self,
            is_ready=self.is_ready and other.is_ready,
            runtime=self.runtime or other.runtime,
            digest=self.digest or other.digest,
            fetch_s=max(self.fetch_s, other.fetch_s),
            load_s=max(self.load_s, other.load_s),
            size_bytes=self.size_bytes + other.size_bytes,
        )


@dataclass(frozen=True, slots=True)
class ShadowCount:
    """How often a comparison of a version with its shadow came out so."""

    name: str
    version: str
    shadow: str
    """The version of the shadow."""
    outcome: str
    count: int


@dataclass(frozen=True, slots=True)
class CollectedCount:
    """How many requests to a version that were to be collected ended so."""

    name: str
    version: str
    outcome: str
    count: int


Count = TypeVar("Count", ShadowCount, CollectedCount)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read, not counted, at the moment of a scrape."""

    models: Sequence[ModelGauges]
    in_flight: int
    shed: int
    pool_bytes: int
    store_bytes: int
    registry_errors: int
    shadows: Sequence[ShadowCount] = ()
    collected: Sequence[CollectedCount] = ()

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Gauges:
        """From what JSON made of one."""
        models = [ModelGauges(**each) for each in document["models"]]
        shadows = [ShadowCount(**each) for each in document["shadows"]]
        collected = [CollectedCount(**each) for each in document["collected"]]
        told = {"models": models, "shadows": shadows, "collected": collected}
        return cls(**{**document, **told})

    def joined(self, other: Gauges) -> Gauges:
        """Of two workers together. The store is one folder, of which both know."""
        models: dict[tuple[str, str], ModelGauges] = {}
        for model in (*self.models, *other.models):
            key = (model.name, model.version)
            models[key] = models[key].joined(model) if key in models else model
        return Gauges(
            models=list(models.values()),
            in_flight=self.in_flight + other.in_flight,
            shed=self.shed + other.shed,
            pool_bytes=self.pool_bytes + other.pool_bytes,
            store_bytes=max(self.store_bytes, other.store_bytes),
            registry_errors=self.registry_errors + other.registry_errors,
            shadows=_summed((*self.shadows, *other.shadows)),
            collected=_summed((*self.collected, *other.collected)),
        )

    def counted(self) -> Gauges:
        """What stays of a worker that is gone."""
        return replace(
            NOTHING,
            shed=self.shed,
            registry_errors=self.registry_errors,
            shadows=self.shadows,
            collected=self.collected,
        )


def _summed(counts: Iterable[Count]) -> list[Count]:
    """One of each key: of all that it has but the count."""
    found: dict[Count, int] = {}
    for each in counts:
        key = replace(each, count=0)
        found[key] = found.get(key, 0) + each.count
    return [replace(key, count=count) for key, count in found.items()]


NOTHING: Final = Gauges((), 0, 0, 0, 0, 0)
