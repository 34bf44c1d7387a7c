"""What Azure ML answers, read: model versions, and what a 404 is about. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from azure.core.exceptions import HttpResponseError

from app.azure.faults import DATA_SCIENTIST, Place, code_of
from app.errors import RegistryUnavailable
from app.registries.azureml import ModelVersion

_PLACE_CODES: Final = ("SubscriptionNotFound", "ResourceGroupNotFound", "ParentResourceNotFound")


def model_version(name: str, told: Mapping[str, Any]) -> ModelVersion:
    """One version of the model called `name`; null and absent are the same."""
    properties = told.get("properties") or {}
    system = told.get("systemData") or {}
    return ModelVersion(
        name=name,
        version=str(told.get("name") or str(told.get("id", "")).rpartition("/")[2]),
        uri=str(properties.get("modelUri") or ""),
        kind=str(properties.get("modelType") or ""),
        description=str(properties.get("description") or ""),
        stage=str(properties.get("stage") or ""),
        created_at=str(system.get("createdAt") or ""),
        tags=_texts(properties.get("tags")),
        properties=_texts(properties.get("properties")),
    )


def is_about_place(error: HttpResponseError) -> bool:
    """Of a 404: not the model is missing, but the workspace is, or what it is in."""
    code = code_of(error)
    told = str(getattr(error.error, "message", "") or "")
    names_place = "/workspaces/" in told and "/models" not in told
    return code in _PLACE_CODES or (code == "ResourceNotFound" and names_place)


def place_of(workspace: str | None, registry: str | None, host: str) -> Place:
    """The workspace or registry, for messages."""
    if registry is not None:
        return Place(
            f"registry {registry}",
            "the name of the registry, and REGISTRY_DISCOVERY_ENDPOINT_URL",
            'give this identity the role "AzureML Registry User" on the registry',
        )
    return Place(
        f"workspace {workspace}",
        "SUBSCRIPTION_ID, RESOURCE_GROUP and WORKSPACE_NAME",
        f"give this identity the role {DATA_SCIENTIST} on the workspace",
        host,
    )


def missing(place: Place, datastore: str = "") -> RegistryUnavailable:
    """There is no such place, or it has no such datastore."""
    if datastore:
        return RegistryUnavailable(
            f"{place.name} has no datastore {datastore}, where the model's files are; was it "
            "deleted? make one of that name, or register the model anew"
        )
    return RegistryUnavailable(f"there is no {place.name}; check {place.settings}")


def described(told: Mapping[str, Any]) -> dict[str, str]:
    """What is shown of a workspace or registry."""
    return {key: str(told[key]) for key in ("id", "name", "location") if told.get(key)}


def _texts(told: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(key): str(value) for key, value in (told or {}).items() if value is not None}
