"""FastAPI with pydantic as most people write it."""

from __future__ import annotations

from typing import Final

from bench.peers import HOST, Job, Peer


def _command(job: Job) -> list[str]:
    return job.module(
        "uvicorn", "--host", HOST, "--port", str(job.port), "bench.peers.fastapi_plain.serve:app"
    )


PEER: Final = Peer(
    title="FastAPI + pydantic",
    form="a `def` handler in the thread pool, pydantic in and out, uvicorn's access log",
    command=_command,
    package="fastapi",
    checks="types, ranges and categories",
)
