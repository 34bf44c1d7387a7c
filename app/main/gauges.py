"""What the parts of a process tell at a scrape."""

from __future__ import annotations

from collections.abc import Iterator

from app.acceleration import OFF
from app.catalog import State, Status
from app.main.parts import Parts
from app.telemetry.gauges import CollectedCount, Gauges, ModelGauges, ShadowCount


def gauges(parts: Parts, store_bytes: int) -> Gauges:
    """Now; `store_bytes` takes a look at the disk, which not everybody wants."""
    models = []
    statuses = parts.catalog.status()
    for status in statuses:
        told = ModelGauges(status.name, status.version, status.state is State.READY)
        if status.loaded is not None:
            loaded = status.loaded
            told = ModelGauges(
                name=status.name,
                version=status.version,
                is_ready=True,
                runtime=loaded.manifest.runtime,
                digest=loaded.digest,
                fetch_s=loaded.fetch_s,
                load_s=loaded.load_s,
                size_bytes=loaded.size_bytes,
            )
        models.append(told)
        if status.refused:
            models.append(ModelGauges(status.name, status.refused_version, is_ready=False))
    unique = {(model.name, model.version): model for model in models}
    return Gauges(
        models=list(unique.values()),
        in_flight=parts.limits.in_flight,
        shed=parts.limits.shed,
        pool_bytes=parts.pool.size_bytes(),
        store_bytes=store_bytes,
        registry_errors=parts.catalog.registry_errors,
        shadows=[
            *(ShadowCount(*key, count) for key, count in parts.shadows.counts.items()),
            *(count for status in statuses for count in _of_onnx(status)),
        ],
        collected=[CollectedCount(*key, count) for key, count in parts.collection.counts().items()],
    )


def _of_onnx(status: Status) -> Iterator[ShadowCount]:
    """Rows of a model that scikit-learn answers for while its ONNX form is its shadow."""
    acceleration = status.loaded.acceleration if status.loaded else OFF
    for outcome, rows in acceleration.shadow_rows().items():
        yield ShadowCount(status.name, status.version, "onnx", outcome, rows)
