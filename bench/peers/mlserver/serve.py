"""A runtime of MLServer for ONNX files."""

# The peer's packages are in its own environment, not in the one that is type-checked.
# mypy: disable-error-code="import-not-found, misc"

from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri

from bench.model import load


class OnnxModel(MLModel):
    """One ONNX file with one input."""

    async def load(self) -> bool:
        """See `MLModel`."""
        self.scores = load(Path(await get_model_uri(self._settings)))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """See `MLModel`."""
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        found = NumpyCodec.encode_output("scores", self.scores(rows))
        return InferenceResponse(model_name=self.name, outputs=[found])
