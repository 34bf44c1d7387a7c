"""The slim image: ONNX models, from a folder and from Azure, and words for all else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.azure.control_plane import CONTAINER
from tests.azure.fixtures import NAMES, OLDER, Azure
from tests.clients import TEXT
from tests.image.engine import Docker
from tests.image.pods import POD, SAMPLE_SETTINGS, mounted, pod, told
from tests.server import CLAIM, SAMPLES

pytestmark = pytest.mark.image
LACKS = "is not installed here; the full image has it, the slim one has not"
IMPORTS = """
import importlib, sys
for name in ("registries.azureml.rest", "registries.azureml.registry", "registries.azureblob",
             "auth.tokens", "telemetry.insights.monitor", "telemetry.insights.collector"):
    importlib.import_module("app." + name)
print(sorted({"sklearn", "scipy", "pandas", "skops", "azure.ai.ml"} & set(sys.modules)))
"""
INSIGHTS = "InstrumentationKey=00000000-0000-0000-0000-000000000000"


def test_it_serves_the_onnx_sample_of_a_folder(docker: Docker, slim: str) -> None:
    with pod(docker, slim, SERVE_MODELS=CLAIM, **SAMPLE_SETTINGS) as running:
        assert running.score(CLAIM, TEXT) == 0
        assert running.models()[CLAIM]["checked"] == "golden: 4 requests"


def test_of_a_scikit_learn_model_it_tells_which_image_serves_it(docker: Docker, slim: str) -> None:
    with pod(docker, slim, SERVE_MODELS=CLAIM, **SAMPLE_SETTINGS) as running:
        answer = running.post("/score/churn", json={"data": [{}]})
    assert answer.status_code == 503
    message = answer.json()["message"]
    assert f"a model of the runtime sklearn needs sklearn, which {LACKS}" in message


def test_what_asks_azure_signs_in_and_sends_traces_can_be_imported(
    docker: Docker, slim: str
) -> None:
    assert told(docker, slim, "-c", IMPORTS, options=(*POD, "--entrypoint=python")) == "[]"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"SERVE_AZUREML_CLIENT": "sdk", "SERVE_REGISTRY": "azureml://workspace", **OLDER},
         "SERVE_AZUREML_CLIENT=sdk needs azure.ai"),
        ({"SERVE_TELEMETRY": "opencensus", "APPLICATIONINSIGHTS_CONNECTION_STRING": INSIGHTS,
          **SAMPLE_SETTINGS}, "sending traces by opencensus needs opencensus"),
    ],
)  # fmt: skip
def test_a_setting_that_needs_more_stops_the_start_in_one_line(
    docker: Docker, slim: str, settings: dict[str, str], words: str
) -> None:
    with pod(docker, slim, wait_for="", **settings) as running:
        assert running.process.wait(60) == 2
        assert f"{words}, which {LACKS}" in running.log()
        assert "Traceback" not in running.log()


def as_seen_inside(settings: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Paths of this machine are where the options of a pod of Azure's mount them."""
    inside = {str(folder): "/certificates", str(NAMES): "/names"}
    seen = dict(settings)
    for here, there in inside.items():
        seen = {name: value.replace(here, there) for name, value in seen.items()}
    return seen


def test_it_serves_the_onnx_model_of_a_workspace(docker: Docker, slim: str, azure: Azure) -> None:
    azure.storage.put_folder(CONTAINER, "slim/claim", SAMPLES / CLAIM / "1")
    azure.plane.register("claim", "1", "slim/claim")
    folder = azure.certificates.ca.parent
    settings = {**as_seen_inside(azure.environment(), folder), **OLDER, "SERVE_MODELS": "claim"}
    options = (*POD, mounted(folder, "/certificates"), f"--volume={NAMES}:/names:ro")
    with pod(docker, slim, options=options, **settings) as running:
        assert running.score("claim", TEXT) == 0
        assert running.run("ls", "/var/cache/aml-serve/models") != ""
