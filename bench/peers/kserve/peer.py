"""KServe's Python SDK server with a model class of one method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bench import open_inference
from bench.peers import JSON_WORKLOADS, Job, Peer, Request, Rows, answer_under, json_request


def _command(job: Job) -> list[str]:
    return job.module(
        *("bench.peers.kserve.serve", "--http_port", str(job.port)),
        *("--workers", "1", "--enable_grpc", "false"),
    )


def _request(workload: str, rows: Rows) -> Request:
    if workload == "W4B":
        return open_inference.binary("/v2/models/model/infer", rows, "scores")
    return json_request("/v1/models/model:predict", {"instances": rows})


def _answer(body: bytes, headers: Mapping[str, str]) -> Any:
    read = answer_under("predictions") if b'"predictions"' in body[:20] else open_inference.answer
    return read(body, headers)


PEER: Final = Peer(
    title="KServe SDK server",
    form="an `async` model class, V1 JSON (V2 for binary), its default logging, gRPC off",
    command=_command,
    package="kserve",
    request=_request,
    answer=_answer,
    workloads=JSON_WORKLOADS | {"W4B"},
)
