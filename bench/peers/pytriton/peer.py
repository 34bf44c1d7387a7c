"""Triton, NVIDIA's server in C++, calling Python through nvidia-pytriton: not a Python server."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from typing import Final

from bench import open_inference
from bench.peers import JSON_WORKLOADS, Job, Peer, Request, Rows

_PATH: Final = "/v2/models/model/infer"


def _command(job: Job) -> list[str]:
    return job.module("bench.peers.pytriton.serve", str(job.port))


def _variables(job: Job) -> Mapping[str, str]:
    # Triton loads libpython by itself, and must not meet that of another release
    return {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}


def _request(workload: str, rows: Rows) -> Request:
    if workload == "W5":
        return open_inference.columns(_PATH, rows, [1, 1])
    if workload == "W4B":
        return open_inference.binary(_PATH, rows, "scores")
    return open_inference.tensor(_PATH, rows, "FP64" if workload == "W1" else "FP32")


PEER: Final = Peer(
    title="PyTriton (Triton)",
    form="V2 JSON (and binary), a Python callable with dynamic batching, gRPC and metrics off",
    command=_command,
    package="nvidia-pytriton",
    variables=_variables,
    request=_request,
    answer=open_inference.answer,
    workloads=JSON_WORKLOADS | {"W4B"},
    leaves=("/tmp/folder??????", "/tmp/python_env_??????", "/dev/shm/pytrtion*"),
    checks="types of the tensors",
)
