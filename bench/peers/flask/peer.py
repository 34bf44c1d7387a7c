"""The handler of many a first tutorial: Flask, and the model loaded on each request."""

from __future__ import annotations

from typing import Final

from bench.peers import HOST, Job, Peer


def _command(job: Job) -> list[str]:
    return job.module(
        *("gunicorn", "--bind", f"{HOST}:{job.port}", "--workers", "1", "--timeout", "60"),
        *("--access-logfile", "-", "bench.peers.flask.serve:app"),
    )


PEER: Final = Peer(
    title="Flask, model loaded per request",
    form="gunicorn, one sync worker (no keep-alive), its access log",
    command=_command,
    package="flask",
)
