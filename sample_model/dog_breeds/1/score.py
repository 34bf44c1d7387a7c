"""Which of five breeds is a dog of? `{"data": "<base64 of a JPEG>"}` -> a label, as JSON text.

The answer is a text that holds JSON, so clients decode twice, as those of the older service do.
Needs Pillow, onnxruntime and numpy.
"""

import base64
import binascii
import io
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime

try:
    from PIL import Image
except ImportError as error:
    raise ImportError("dog_breeds decodes pictures with Pillow: pip install pillow") from error

SEEN = (32, 32)
"""Pixels of a picture, as the network takes it."""


def init() -> None:
    """Read the network, and the names of its classes."""
    global session, breeds  # as scoring scripts have it
    folder = Path(os.environ["AZUREML_MODEL_DIR"])
    breeds = (folder / "breeds.txt").read_text("utf-8").split()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        folder / "breeds.onnx", options, providers=["CPUExecutionProvider"]
    )


def run(raw_data: str) -> str:
    """JSON text of `{"label": ..., "probability": "0.9731"}`, or of `{"error": ...}`."""
    try:
        picture = decode(json.loads(raw_data)["data"])
    except (KeyError, TypeError, ValueError, OSError):
        return json.dumps({"error": 'send {"data": "<base64 of a JPEG>"}'})
    (probabilities,) = session.run(None, {"picture": picture[None]})
    best = int(probabilities[0].argmax())
    return json.dumps({"label": breeds[best], "probability": f"{probabilities[0, best]:.4f}"})


def decode(text: str) -> np.ndarray:
    """The picture in base64, (32, 32, 3). Raises: ValueError, OSError: it is none."""
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    with Image.open(io.BytesIO(content), formats=["JPEG", "PNG"]) as image:
        return np.asarray(image.convert("RGB").resize(SEEN, Image.Resampling.BOX))
