"""The floor: what uvicorn itself costs with the requests and answers of aml-serve."""

from __future__ import annotations

from typing import Final

from bench.peers import HOST, Job, Peer, data_request


def _command(job: Job) -> list[str]:
    return job.module(
        *("uvicorn", "--host", HOST, "--port", str(job.port)),
        *("--no-access-log", "--lifespan", "off", "bench.peers.floor.serve:app"),
    )


PEER: Final = Peer(
    title="raw ASGI floor",
    form="uvicorn, no framework: reads the body, answers fixed bytes, logs nothing",
    command=_command,
    request=data_request("/score/{model}"),
)
