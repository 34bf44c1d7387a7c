"""LitServe with one API process and one worker process, which is its way."""

from __future__ import annotations

from typing import Final

from bench.peers import Job, Peer


def _command(job: Job) -> list[str]:
    return job.module("bench.peers.litserve.serve", str(job.port))


PEER: Final = Peer(
    title="LitServe",
    form="one API process and one worker process, no batching, its default logging",
    command=_command,
    package="litserve",
)
