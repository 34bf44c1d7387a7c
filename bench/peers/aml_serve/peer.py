"""aml-serve from this checkout, with everything on that is on by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bench.peers import HOST, Job, Peer, data_request


def _command(job: Job) -> list[str]:
    return job.module("app", "serve")


def _variables(job: Job) -> Mapping[str, str]:
    return {
        "SERVE_REGISTRY": str(job.model.parents[2]),
        "SERVE_MODELS": job.workload.removesuffix("B").lower(),
        "SERVE_HOST": HOST,
        "SERVE_PORT": str(job.port),
        "SERVE_CACHE_DIR": str(job.scratch),
        "SERVE_THREADS": "1",
    }


PEER: Final = Peer(
    title="aml-serve",
    form="as delivered: ids, metrics, limits, schema, access log",
    command=_command,
    variables=_variables,
    request=data_request("/score/{model}"),
    checks="the schema",
)
