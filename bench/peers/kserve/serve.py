"""One model behind KServe's Python SDK."""

# The peer's packages are in its own environment, not in the one that is type-checked.
# mypy: disable-error-code="import-not-found, misc, no-any-return"

from collections.abc import Mapping
from typing import Any

import kserve.model_server
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.protocol.rest.server import RESTServer

from bench.model import load, named
from bench.peers import HOST


class Loopback(RESTServer):
    """KServe listens on every address and has no setting for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.config.host = HOST


class Scorer(Model):
    """The model of the workload."""

    def __init__(self) -> None:
        super().__init__("model")
        self.scores = load(named())
        self.ready = True

    async def predict(
        self, payload: Any, headers: Mapping[str, str] | None = None, *_: Any
    ) -> dict[str, Any] | InferResponse:
        """Score V1 instances, or the first input of a V2 request."""
        if isinstance(payload, InferRequest):
            found = self.scores(payload.inputs[0].as_numpy())
            output = InferOutput("scores", list(found.shape), "FP32")
            output.set_data_from_numpy(found, binary_data=True)
            return InferResponse(payload.id, self.name, [output])
        return {"predictions": self.scores(payload["instances"]).tolist()}


if __name__ == "__main__":
    kserve.model_server.RESTServer = Loopback
    ModelServer().start([Scorer()])
