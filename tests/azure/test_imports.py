"""What a server of Azure's models costs, and that one without them pays nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.azure.control_plane import CONTAINER
from tests.azure.fixtures import OLDER, Azure
from tests.server import CLAIM, ROOT, SAMPLES, Server, environment, serving

CLIENTS = ("azure", "msal", "requests", "cryptography", "opencensus", "isodate",
           "opentelemetry.sdk", "opentelemetry.exporter")  # fmt: skip
MB = 1 << 20

PROBE = """
import asyncio, os, sys
from app.main import build, create_app
from app.settings import Settings
async def ready():
    parts = build(Settings.load(os.environ))
    parts.catalog.start()
    while not parts.catalog.is_ready: await asyncio.sleep(0.01)
    await parts.close()
asyncio.run(ready())
print(",".join(sorted(sys.modules)), flush=True)
os._exit(0)
"""


def imported(home: Path, settings: dict[str, str]) -> set[str]:
    """The modules of a process that has all its models ready."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment(home, settings), cwd=ROOT,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return set(run.stdout.strip().rpartition("\n")[2].split(","))


def of_clients(modules: set[str]) -> set[str]:
    return {client for client in CLIENTS if client in modules}


@pytest.fixture
def workspace(azure: Azure) -> dict[str, str]:
    """Settings of a server of one ONNX model of the workspace."""
    azure.storage.put_folder(CONTAINER, "imports/claim", SAMPLES / CLAIM / "1")
    azure.plane.register("claim", "1", "imports/claim")
    return {**azure.environment(), **OLDER, "SERVE_REGISTRY": "", "SERVE_MODELS": "claim"}


def test_a_server_of_a_folder_imports_no_client_of_azure(tmp_path: Path) -> None:
    assert of_clients(imported(tmp_path, {"SERVE_MODELS": CLAIM})) == set()


def test_the_sdk_is_imported_when_it_is_chosen_and_never_else(
    workspace: dict[str, str], tmp_path: Path
) -> None:
    by_rest = imported(tmp_path, workspace)
    by_sdk = imported(tmp_path, {**workspace, "SERVE_AZUREML_CLIENT": "sdk"})

    assert "azure.ai.ml" not in by_rest
    assert "azure.storage.blob" in by_rest
    assert "azure.ai.ml" in by_sdk
    assert not {"sklearn", "pandas", "opentelemetry.sdk", "opencensus"} & by_rest


def told(server: Server, field: str) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition(field)[2].split()[0]) * 1024


def cpu_s(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_server_of_an_onnx_model_of_a_workspace_stays_under_160_mb(
    workspace: dict[str, str],
) -> None:
    with serving("/readyz", **workspace) as server:
        at_ready_s, resident = cpu_s(server), told(server, "VmRSS:")
    with serving("/readyz", SERVE_MODELS=CLAIM) as local:
        local_s, local_resident = cpu_s(local), told(local, "VmRSS:")

    sys.stdout.write(
        f"workspace: {at_ready_s:.2f} s of CPU, {resident // MB} MB; "
        f"folder: {local_s:.2f} s, {local_resident // MB} MB\n"
    )
    assert resident < 160 * MB
    assert at_ready_s < 4 * local_s
