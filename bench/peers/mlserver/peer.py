"""MLServer with its own scikit-learn runtime, and a small one for ONNX, which it has none for."""

from __future__ import annotations

import json
from typing import Final

from bench import open_inference
from bench.peers import HOST, Job, Peer, Request, Rows

_PATH: Final = "/v2/models/model/infer"


def _command(job: Job) -> list[str]:
    settings = {
        "debug": False,
        "host": HOST,
        "http_port": job.ports[0],
        "grpc_port": job.ports[1],
        "metrics_port": job.ports[2],
        "parallel_workers": 0,
    }
    is_onnx = job.model.suffix == ".onnx"
    own = "bench.peers.mlserver.serve.OnnxModel"
    model = {
        "name": "model",
        "implementation": own if is_onnx else "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(job.model)},
    }
    (job.scratch / "settings.json").write_text(json.dumps(settings))
    (job.scratch / "model-settings.json").write_text(json.dumps(model))
    return [str(job.python.with_name("mlserver")), "start", str(job.scratch)]


def _request(workload: str, rows: Rows) -> Request:
    if workload == "W5":
        return open_inference.columns(_PATH, rows, [1, 1], parameters={"content_type": "pd"})
    if workload == "W1":
        return open_inference.tensor(_PATH, rows, "FP64", outputs=[{"name": "predict_proba"}])
    return open_inference.tensor(_PATH, rows, "FP32")


PEER: Final = Peer(
    title="MLServer",
    form="V2 JSON, `debug` off, predictions in the server's own process (`parallel_workers` 0)",
    command=_command,
    package="mlserver",
    request=_request,
    answer=open_inference.answer,
    checks="types of the tensors",
)
