"""All of Azure that the tests meet, started once for a run: real clients talk to it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.azure.access import Access, Given
from tests.azure.authority import CLIENT, SECRET, TENANT, Authority
from tests.azure.certificates import Certificates, write_certificates
from tests.azure.control_plane import GROUP, SUBSCRIPTION, WORKSPACE, ControlPlane
from tests.azure.storage import COMMAND, Storage, storage

NAMES = Path(__file__).parent / "names"
OLDER = {
    "TENANT_ID": TENANT,
    "CLIENT_ID": CLIENT,
    "CLIENT_SECRET": SECRET,
    "SUBSCRIPTION_ID": SUBSCRIPTION,
    "RESOURCE_GROUP": GROUP,
    "WORKSPACE_NAME": WORKSPACE,
}
"""The six variables of the older template."""


@dataclass(frozen=True, slots=True)
class Azure:
    """What stands in for it."""

    certificates: Certificates
    authority: Authority
    storage: Storage
    plane: ControlPlane
    done: set[str] = field(default_factory=set)
    """What is in storage already; nothing there is deleted during a run."""

    def environment(self) -> dict[str, str]:
        """For a process that has this Azure and no other; nothing of who it is."""
        return {
            **self.certificates.environment(),
            **self.plane.environment(),
            "AZURE_AUTHORITY_HOST": self.authority.url,
            "PYTHONPATH": str(NAMES),
        }

    def access(self, **given: Any) -> Access:
        """As the older variables would give it."""
        told = self.plane.environment()
        return Access(
            Given(
                **{
                    "tenant_id": TENANT, "client_id": CLIENT, "client_secret": SECRET,
                    "subscription_id": SUBSCRIPTION, "resource_group": GROUP,
                    "workspace_name": WORKSPACE, "authority_host": self.authority.url,
                    "cloud_metadata_url": told["ARM_CLOUD_METADATA_URL"],
                    "registry_discovery_url": told["REGISTRY_DISCOVERY_ENDPOINT_URL"], **given,
                }
            )
        )  # fmt: skip


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    if not COMMAND.exists():
        pytest.skip("no storage emulator; `make .venv/azurite` brings it, and wants npm")
    folder = tmp_path_factory.mktemp("azure")
    certificates = write_certificates(folder)
    with (
        storage(folder, certificates) as blobs,
        Authority(certificates) as authority,
        ControlPlane(certificates, blobs, authority.url) as plane,
    ):
        yield Azure(certificates, authority, blobs, plane)


@pytest.fixture
def azure(running: Azure, monkeypatch: pytest.MonkeyPatch) -> Iterator[Azure]:
    """It, as new, and this process trusts it and reaches nothing else."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "AZUREML_", "SERVE_"))]:
        monkeypatch.delenv(name)
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("names", NAMES / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    monkeypatch.setattr("socket.getaddrinfo", __import__("socket").getaddrinfo)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    running.plane.forget()
    running.authority.mend()
    running.authority.requests.clear()
    yield running
    running.plane.forget()
    running.authority.mend()
