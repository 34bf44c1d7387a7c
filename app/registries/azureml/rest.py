"""Metadata by Azure ML's REST routes (api-version 2024-10-01), over azure-core."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from azure.core import PipelineClient
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, UserAgentPolicy
from azure.core.rest import HttpRequest

from app.azure.access import Access
from app.azure.blobs import BlobFolder
from app.azure.faults import Place, unavailable
from app.azure.patience import CONNECT_S, READ_S, Patience
from app.errors import ModelInvalid, RegistryUnavailable
from app.registries.azureml import ModelVersion
from app.registries.azureml.location import in_container, in_datastore
from app.registries.azureml.storage import (
    SECRETS_BODY,
    datastore_folder,
    is_elsewhere,
    needs_secrets,
    registry_folder,
)
from app.registries.azureml.wire import described, is_about_place, missing, model_version, place_of

_API_VERSION: Final = "2024-10-01"
_ACTIVE: Final = {"listViewType": "ActiveOnly"}


class RestMetadata:
    """Of one workspace or registry; see `Metadata`."""

    def __init__(self, access: Access, identity: str, registry: str | None) -> None:
        self._access = access
        self._identity = access.identity(identity)
        self._registry = registry
        self._lock = threading.Lock()
        self._client: PipelineClient[Any, Any] | None = None
        self._root = ""

    def describe(self) -> Mapping[str, str]:
        """See `Metadata`."""
        return described(self._must(self._get("")))

    def version(self, name: str, version: str) -> ModelVersion | None:
        """See `Metadata`."""
        told = self._get(f"/models/{quote(name)}/versions/{quote(version)}")
        return None if told is None else model_version(name, told)

    def latest(self, name: str) -> ModelVersion | None:
        """See `Metadata`."""
        asked = {**_ACTIVE, "$orderBy": "createdtime desc", "$top": "1"}
        first = next(self._pages(_versions(name), asked), None)
        return None if first is None else model_version(name, first)

    def versions(self, name: str) -> Iterator[ModelVersion]:
        """See `Metadata`."""
        return (model_version(name, told) for told in self._pages(_versions(name), _ACTIVE))

    def names(self) -> Iterator[str]:
        """See `Metadata`."""
        return (str(told["name"]) for told in self._pages("/models", _ACTIVE))

    def files(self, model: ModelVersion) -> BlobFolder:
        """See `Metadata`."""
        if self._registry is None:
            return self._of_workspace(model)
        path = in_container(model.uri)

        def reference() -> Mapping[str, Any]:
            body = {"assetId": self._asset_id(model), "blobUri": model.uri}
            way = f"/datareferences/{quote(model.name)}/versions/{quote(model.version)}"
            return self._post(way, body)

        return registry_folder(reference, path, self._identity)

    def _of_workspace(self, model: ModelVersion) -> BlobFolder:
        path = in_datastore(model.uri)
        if is_elsewhere(path.workspace, self._access.given):
            raise ModelInvalid("the model's files are in the datastore of another workspace")
        way = f"/datastores/{quote(path.datastore)}"
        properties = self._must(self._get(way), path.datastore)["properties"]

        def secrets() -> Mapping[str, Any]:
            return self._post(f"{way}/listSecrets", SECRETS_BODY)

        asked = secrets if needs_secrets(properties) else None
        return datastore_folder(properties, path.path, asked, self._identity, self._access)

    def _asset_id(self, model: ModelVersion) -> str:
        return f"azureml://registries/{self._registry}/models/{model.name}/versions/{model.version}"

    def _get(self, way: str) -> dict[str, Any] | None:
        """What is there; None when nothing is."""
        try:
            return self._ask("GET", way)
        except _Missing:
            return None

    def _post(self, way: str, body: object) -> dict[str, Any]:
        try:
            return self._ask("POST", way, body=body)
        except _Missing:
            raise missing(self.place) from None

    def _must(self, told: dict[str, Any] | None, datastore: str = "") -> dict[str, Any]:
        """`told`, without which nothing can be read. Raises: RegistryUnavailable."""
        if told is None:
            raise missing(self.place, datastore)
        return told

    def _pages(self, way: str, asked: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """What is listed, until there is no next page."""
        try:
            page = self._ask("GET", way, asked)
            while True:
                yield from page.get("value") or ()
                following = page.get("nextLink")
                if not following:
                    return
                page = self._send(HttpRequest("GET", self._own(following)))
        except _Missing:
            return

    def _own(self, url: str) -> str:
        """A token goes to nobody else."""
        if urlsplit(url)[:2] != urlsplit(self._access.cloud().resource_manager)[:2]:
            raise RegistryUnavailable(f"{self.place.name} sends elsewhere for its next page")
        return url

    def _ask(
        self, method: str, way: str, asked: Mapping[str, str] | None = None, body: object = None
    ) -> dict[str, Any]:
        client_root = self._opened()
        params = {"api-version": _API_VERSION, **(asked or {})}
        given: dict[str, Any] = {} if body is None else {"json": body}
        return self._send(HttpRequest(method, f"{client_root}{way}", params=params, **given))

    def _send(self, request: HttpRequest) -> dict[str, Any]:
        """Raises: RegistryUnavailable; _Missing when the place is there and the thing is not."""
        assert self._client is not None
        try:
            answer = self._client.send_request(
                request, connection_timeout=CONNECT_S, read_timeout=READ_S
            )
            answer.raise_for_status()
            told = answer.json()
        except HttpResponseError as error:
            if error.status_code == 404 and not is_about_place(error):
                raise _Missing from None
            raise unavailable(error, self.place) from None
        except AzureError as error:
            raise unavailable(error, self.place) from None
        except ValueError:
            raise RegistryUnavailable(f"{self.place.name} answered with no JSON") from None
        if not isinstance(told, dict):
            raise RegistryUnavailable(f"{self.place.name} answered with no JSON object")
        return told

    def _opened(self) -> str:
        """The URL of the workspace or registry; a registry is looked for once."""
        cloud = self._access.cloud()
        with self._lock:
            if self._client is None:
                policies: list[Any] = [
                    UserAgentPolicy(sdk_moniker="aml-serve"),
                    Patience(),
                    BearerTokenCredentialPolicy(self._identity, cloud.scope),
                ]
                self._client = PipelineClient(base_url=cloud.resource_manager, policies=policies)
        self._root = self._root or self._found()
        return self._root

    def _found(self) -> str:
        given, cloud = self._access.given, self._access.cloud()
        subscription, group, last = given.subscription_id, given.resource_group, ""
        if self._registry is None:
            last = f"workspaces/{quote(given.workspace_name or '')}"
        else:
            url = (
                f"{cloud.registry_discovery}/registrymanagement/v1.0/registries/"
                f"{quote(self._registry)}/discovery"
            )
            try:
                told = self._send(HttpRequest("GET", url))
            except _Missing:
                told = self._must(None)
            subscription, group = told.get("subscriptionId"), told.get("resourceGroup")
            last = f"registries/{quote(self._registry)}"
        return (
            f"{cloud.resource_manager}/subscriptions/{quote(subscription or '')}"
            f"/resourceGroups/{quote(group or '')}"
            f"/providers/Microsoft.MachineLearningServices/{last}"
        )

    @property
    def place(self) -> Place:
        """See `Metadata`."""
        return place_of(self._access.given.workspace_name, self._registry, self._access.host)


class _Missing(Exception):
    """The place answered that it has no such thing."""


def open_metadata(access: Access, identity: str, registry: str | None) -> RestMetadata:
    """See `OpenMetadata`."""
    return RestMetadata(access, identity, registry)


def _versions(name: str) -> str:
    return f"/models/{quote(name)}/versions"
