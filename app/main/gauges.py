"""What the parts of a process tell at a scrape."""

from __future__ import annotations

from app.catalog import State
from app.main.parts import Parts
from app.telemetry.gauges import Gauges, ModelGauges, ShadowCount


def gauges(parts: Parts, store_bytes: int) -> Gauges:
    """Now; `store_bytes` takes a look at the disk, which not everybody wants."""
    models = []
    for status in parts.catalog.status():
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
        shadows=[ShadowCount(*key, count) for key, count in parts.shadows.counts.items()],
    )
