"""azureml-inference-server-http with a scoring script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bench.peers import Job, Peer, data_request, folder


def _command(job: Job) -> list[str]:
    return job.module(
        *("bench.peers.azureml.serve", "--entry_script", str(folder("azureml") / "score.py")),
        *("--model_dir", str(job.model.parent), "--port", str(job.port), "--worker_count", "1"),
    )


def _variables(job: Job) -> Mapping[str, str]:
    return {"AML_APP_ROOT": str(folder("azureml"))}


PEER: Final = Peer(
    title="azureml-inference-server-http",
    form="a plain `run(raw_data)` script, gunicorn with one worker and the access log it sets",
    command=_command,
    package="azureml-inference-server-http",
    variables=_variables,
    request=data_request("/score"),
)
