"""FastAPI tuned by hand for one model: the bar."""

from __future__ import annotations

from typing import Final

from bench.peers import HOST, Job, Peer


def _command(job: Job) -> list[str]:
    return job.module(
        *("uvicorn", "--host", HOST, "--port", str(job.port), "--no-access-log"),
        *("--loop", "uvloop", "--http", "httptools", "bench.peers.fastapi_tuned.serve:app"),
    )


PEER: Final = Peer(
    title="FastAPI + orjson, hand-tuned",
    form="predicts on the event loop, orjson, no pydantic, no access log",
    command=_command,
    package="fastapi",
)
