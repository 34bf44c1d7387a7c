"""One model behind LitServe."""

# The peer's packages are in its own environment, not in the one that is type-checked.
# mypy: disable-error-code="import-not-found, misc"

import sys
from typing import Any

import litserve

from bench.model import load, named
from bench.peers import HOST


class Scorer(litserve.LitAPI):
    """The model of the workload."""

    def setup(self, device: str) -> None:
        """See `LitAPI`."""
        self.scores = load(named())

    def decode_request(self, request: dict[str, Any]) -> Any:
        """See `LitAPI`."""
        return request["data"]

    def predict(self, rows: Any) -> Any:
        """See `LitAPI`."""
        return self.scores(rows)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """See `LitAPI`."""
        return {"results": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Scorer(), accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host=HOST, port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
