"""BentoML with a service class of one method."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bench.peers import HOST, ROOT, Job, Peer


def _command(job: Job) -> list[str]:
    return job.module(
        *("bentoml", "serve", "bench.peers.bentoml.serve:Scorer"),
        *("--host", HOST, "--port", str(job.port), "--working-dir", str(ROOT)),
    )


def _variables(job: Job) -> Mapping[str, str]:
    return {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(job.scratch)}


def _answer(body: bytes, headers: Mapping[str, str]) -> Any:
    return json.loads(body)


PEER: Final = Peer(
    title="BentoML",
    form="one worker, typed by numpy and pandas, its default logging",
    command=_command,
    package="bentoml",
    variables=_variables,
    answer=_answer,
)
