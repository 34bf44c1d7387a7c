"""`mlflow models serve` of the same model, logged in MLflow's format before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bench.peers import HOST, Job, Peer, Request, Rows, json_request


def _prepare(job: Job) -> list[str]:
    return job.module("bench.peers.mlflow.convert", str(job.scratch / "model"))


def _command(job: Job) -> list[str]:
    return job.module(
        *("mlflow", "models", "serve", "--model-uri", str(job.scratch / "model")),
        *("--host", HOST, "--port", str(job.port), "--workers", "1", "--env-manager", "local"),
    )


def _variables(job: Job) -> Mapping[str, str]:
    return {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}


def _request(workload: str, rows: Rows) -> Request:
    key = "dataframe_records" if workload == "W5" else "inputs"
    return json_request("/invocations", {key: rows})


def _answer(body: bytes, headers: Mapping[str, str]) -> Any:
    found = json.loads(body)["predictions"]
    return list(found.values())[-1] if isinstance(found, dict) else found


PEER: Final = Peer(
    title="mlflow models serve",
    form="a logged model with its signature, `--env-manager local`, one worker",
    command=_command,
    package="mlflow",
    variables=_variables,
    prepare=_prepare,
    request=_request,
    answer=_answer,
    checks="types (its signature)",
)
