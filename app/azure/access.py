"""Which Azure, and who asks it: what every registry there is given."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.azure import clouds
from app.azure.clouds import CLOUDS, Cloud
from app.azure.identity import Identity, Principal

TRANSFERS = 8
"""Requests for bytes at the same time, of all registries of a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the operator says of Azure; None where he says nothing."""

    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    federated_token_file: str | None = None
    authority_host: str | None = None
    subscription_id: str | None = None
    resource_group: str | None = None
    workspace_name: str | None = None
    cloud: str | None = None
    cloud_metadata_url: str | None = None
    registry_discovery_url: str | None = None
    storage_key: str | None = field(default=None, repr=False)
    storage_sas: str | None = field(default=None, repr=False)
    client: str = "rest"
    """What reads Azure ML's metadata."""


class Access:
    """One for a process: a cloud, an identity per choice, and the threads of transfers."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.transfers = ThreadPoolExecutor(TRANSFERS, thread_name_prefix="transfer")
        self._cloud: Cloud | None = None
        self._identities: dict[str, Identity] = {}
        self._lock = threading.Lock()

    def cloud(self) -> Cloud:
        """Found out once. Blocking. Raises: RegistryUnavailable."""
        with self._lock:
            if self._cloud is None:
                given = self.given
                self._cloud = clouds.find(
                    given.cloud, given.cloud_metadata_url, given.registry_discovery_url
                )
            return self._cloud

    def identity(self, choice: str) -> Identity:
        """The one credential of that choice; its first token asks the network."""
        with self._lock:
            if choice not in self._identities:
                self._identities[choice] = Identity(self._principal(choice))
            return self._identities[choice]

    def close(self) -> None:
        """Let go of the threads; a transfer that runs ends by itself."""
        self.transfers.shutdown(wait=False, cancel_futures=True)

    @property
    def host(self) -> str:
        """Of the resource manager, for messages; empty until it is known."""
        return "" if self._cloud is None else urlsplit(self._cloud.resource_manager).netloc

    @property
    def authority(self) -> str:
        """URL of the issuer of tokens. Blocking."""
        return (self.given.authority_host or "").rstrip("/") or self.cloud().authority

    @property
    def has_own_authority(self) -> bool:
        """The issuer is not one that Microsoft lists, and is not to be looked up there."""
        given = self.given
        if given.authority_host:
            listed = {cloud.authority for cloud in CLOUDS.values()}
            return given.authority_host.rstrip("/") not in listed
        return given.cloud not in CLOUDS and given.cloud_metadata_url is not None

    def _principal(self, choice: str) -> Principal:
        given = self.given
        return Principal(
            choice=choice,
            tenant_id=given.tenant_id,
            client_id=given.client_id,
            client_secret=given.client_secret,
            federated_token_file=given.federated_token_file,
            authority=lambda: self.authority,
            has_own_authority=self.has_own_authority,
        )
