"""Models of an Azure ML workspace or registry: `registry` fetches them, and one of two clients
tells of them, `rest` (Azure's REST routes) or `sdk` (azure-ai-ml).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast

from app.imports import imported

if TYPE_CHECKING:
    from app.azure.access import Access
    from app.azure.blobs import BlobFolder
    from app.azure.faults import Place

CLIENTS: Final = {
    "rest": "app.registries.azureml.rest:open_metadata",
    "sdk": "app.registries.azureml.sdk:open_metadata",
}
"""Name -> what makes a `Metadata`."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One registered version, as Azure ML tells of it."""

    name: str
    version: str
    uri: str
    """Where its files are."""
    kind: str = ""
    """custom_model, mlflow_model or triton_model."""
    description: str = ""
    stage: str = ""
    created_at: str = ""
    """ISO 8601."""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


class Metadata(Protocol):
    """What is registered, and where its files are. All methods block.

    They raise RegistryUnavailable when Azure cannot be asked; the text names the mend. What does
    not have the form of Azure ML's answers they may raise anything of (`faults.readable`).
    """

    @property
    def place(self) -> Place:
        """The workspace or registry, for messages."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Of the workspace or registry: id, name, location. Never a key."""
        ...

    def version(self, name: str, version: str) -> ModelVersion | None:
        """That one; None when there is none."""
        ...

    def latest(self, name: str) -> ModelVersion | None:
        """The one created last of those that are not archived."""
        ...

    def versions(self, name: str) -> Iterator[ModelVersion]:
        """All that are not archived."""
        ...

    def names(self) -> Iterator[str]:
        """Of all models that are not archived."""
        ...

    def files(self, model: ModelVersion) -> BlobFolder:
        """Where its files are, with a credential for them."""
        ...


class OpenMetadata(Protocol):
    """Makes a client; asks nothing yet."""

    def __call__(self, access: Access, identity: str, registry: str | None) -> Metadata:
        """Of the workspace that `access` names, or of `registry`."""
        ...


def open_metadata(access: Access, identity: str, registry: str | None) -> Metadata:
    """By the client that the operator chose. Raises: NotInstalled: what it needs is not here."""
    client = access.given.client
    opened = cast(OpenMetadata, imported(CLIENTS[client], f"SERVE_AZUREML_CLIENT={client}"))
    return opened(access, identity, registry)
