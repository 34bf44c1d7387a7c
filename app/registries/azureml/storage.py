"""From what Azure ML tells of a datastore or a registry's blob to a folder that can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from app.azure.access import Access, Given
from app.azure.addresses import BlobPath, container_of
from app.azure.blobs import BlobFolder
from app.azure.faults import DATA_SCIENTIST
from app.azure.identity import Identity, Principal
from app.errors import RegistryUnavailable
from app.registries.azureml.location import datastore_container

SECRETS_BODY: Final = {"expirableSecret": True, "expireAfterHours": 1}
"""Asks for a signature that ends rather than for the key of the account."""
Asked = Callable[[], Mapping[str, Any]]
"""Asks Azure ML for secrets; their JSON."""


def needs_secrets(properties: Mapping[str, Any]) -> bool:
    """The datastore has a credential of its own."""
    return (_credentials(properties).get("credentialsType") or "None") != "None"


def is_elsewhere(workspace: tuple[str, str, str] | None, given: Given) -> bool:
    """The datastore is in another workspace than the one that is served."""
    ours = (given.subscription_id, given.resource_group, given.workspace_name)
    return workspace is not None and any(
        theirs.lower() != (own or "").lower() for theirs, own in zip(workspace, ours, strict=True)
    )


def datastore_folder(
    properties: Mapping[str, Any],
    path: str,
    secrets: Asked | None,
    identity: Identity,
    access: Access,
) -> BlobFolder:
    """`path` in a datastore of these `properties`; `secrets` None: by our own identity.

    Either kind of secret may come for either kind of credentials.
    """
    place = datastore_container(properties, path)
    if secrets is None:
        return _folder(place, identity)
    told = secrets()
    key, sas = told.get("key"), told.get("sasToken")
    if sas:

        def renewed() -> str:
            return _sas(secrets().get("sasToken"))

        return _folder(place, AzureSasCredential(_sas(sas)), renewed)
    if key:
        return _folder(place, AzureNamedKeyCredential(str(properties["accountName"]), key))
    if told.get("clientSecret"):
        return _folder(place, _principal(_credentials(properties), told["clientSecret"], access))
    raise RegistryUnavailable(
        "the datastore has a credential, and none of its secrets were told; give this identity "
        f"the role {DATA_SCIENTIST} on the workspace"
    )


def registry_folder(reference: Asked, path: BlobPath, identity: Identity) -> BlobFolder:
    """`path` in the storage of a registry, which may want a signature or our own identity."""
    told = reference().get("blobReferenceForConsumption") or {}
    found = container_of(str(told.get("blobUri") or "")) or path
    place = BlobPath(found.account_url, found.container, path.path)
    sas = _reference_sas(told)
    if sas is None:
        return _folder(place, identity)

    def renewed() -> str:
        again = _reference_sas(reference().get("blobReferenceForConsumption") or {})
        return _sas(again)

    return _folder(place, AzureSasCredential(sas), renewed)


def _reference_sas(told: Mapping[str, Any]) -> str | None:
    uri = (told.get("credential") or {}).get("sasUri")
    return urlsplit(str(uri)).query or None if uri else None


def _folder(
    place: BlobPath, credential: Any, renewed: Callable[[], str] | None = None
) -> BlobFolder:
    return BlobFolder(place.account_url, place.container, place.path, credential, renewed)


def _sas(token: Any) -> str:
    if not token:
        raise RegistryUnavailable("the datastore gives no shared access signature any more")
    return str(token).lstrip("?")


def _principal(credentials: Mapping[str, Any], secret: str, access: Access) -> Identity:
    """The service principal that the datastore itself has."""
    return Identity(
        Principal(
            choice="secret",
            tenant_id=credentials.get("tenantId"),
            client_id=credentials.get("clientId"),
            client_secret=secret,
            authority=lambda: access.authority,
            has_own_authority=access.has_own_authority,
        )
    )


def _credentials(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = properties.get("credentials") or {}
    return found
