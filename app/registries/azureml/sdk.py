"""Metadata by azure-ai-ml's `MLClient`.

Its own `get` and `list` of models fail on a version whose `flavors` is null, and its way to a
registry's credentials on one that has none: what its pipelines bring is read below those methods.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

from azure.ai.ml import MLClient
from azure.ai.ml._utils._asset_utils import _get_latest
from azure.ai.ml._utils._registry_utils import list_registry_assets
from azure.ai.ml.constants import ListViewType
from azure.ai.ml.exceptions import ValidationException
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest

from app.azure.access import Access
from app.azure.blobs import BlobFolder
from app.azure.faults import Place, unavailable
from app.azure.patience import CONNECT_S, READ_S, Patience
from app.errors import ModelInvalid
from app.registries.azureml import ModelVersion
from app.registries.azureml.location import in_container, in_datastore
from app.registries.azureml.storage import (
    datastore_folder,
    is_elsewhere,
    needs_secrets,
    registry_folder,
)
from app.registries.azureml.wire import described, is_about_place, missing, model_version, place_of

_DATA_PLANE: Final = {"api-version": "2021-10-01-dataplanepreview"}
_ACTIVE: Final = ListViewType.ACTIVE_ONLY

Result = TypeVar("Result")


class SdkMetadata:
    """Of one workspace or registry; see `Metadata`."""

    def __init__(self, access: Access, identity: str, registry: str | None) -> None:
        self._access = access
        self._identity = access.identity(identity)
        self._registry = registry
        self._lock = threading.Lock()
        self._client: MLClient | None = None

    def describe(self) -> Mapping[str, str]:
        """See `Metadata`."""

        def ask(client: MLClient) -> Mapping[str, str]:
            if self._registry is not None:
                place: Any = client.registries.get(self._registry)
            else:
                place = client.workspaces.get(self._access.given.workspace_name)
            told = {"id": place.id, "name": place.name, "location": place.location}
            return described(told)

        return self._must(self._asked(ask))

    def version(self, name: str, version: str) -> ModelVersion | None:
        """See `Metadata`."""
        told = self._asked(lambda client: client.models._get(name, version))
        return None if told is None else model_version(name, _wire(told))

    def latest(self, name: str) -> ModelVersion | None:
        """See `Metadata`."""

        def ask(client: MLClient) -> Any:
            models: Any = client.models
            group, workspace = models._resource_group_name, models._workspace_name
            of_registry = {"registry_service_client": models._registry_service_client}
            return _get_latest(
                name, models._model_versions_operation, group, workspace, models._registry_name,
                asset_plural="models", arm_cls=_Raw, **of_registry,
            )  # fmt: skip

        try:
            told = self._asked(ask)
        except ValidationException:  # there is no version at all
            return None
        return None if told is None else model_version(name, _wire(told))

    def versions(self, name: str) -> Iterator[ModelVersion]:
        """See `Metadata`."""

        def ask(client: MLClient) -> list[Any]:
            models: Any = client.models
            group, workspace = models._resource_group_name, models._workspace_name
            if self._registry is None:
                return list(
                    models._model_versions_operation.list(
                        name=name, resource_group_name=group, workspace_name=workspace,
                        list_view_type=_ACTIVE,
                    )
                )  # fmt: skip
            return list(
                list_registry_assets(
                    models._registry_service_client, "models", name, group, self._registry,
                    _Raw, lambda told: told, list_view_type=_ACTIVE,
                )
            )  # fmt: skip

        return iter([model_version(name, _wire(told)) for told in self._asked(ask) or ()])

    def names(self) -> Iterator[str]:
        """See `Metadata`."""
        listed = self._asked(lambda client: [str(model.name) for model in client.models.list()])
        return iter(listed or ())

    def files(self, model: ModelVersion) -> BlobFolder:
        """See `Metadata`."""
        if self._registry is None:
            return self._of_workspace(model)
        path = in_container(model.uri)
        return registry_folder(lambda: self._reference(model), path, self._identity)

    def _reference(self, model: ModelVersion) -> Mapping[str, Any]:
        named = f"{quote(model.name)}/versions/{quote(model.version)}"

        def ask(client: MLClient) -> Mapping[str, Any]:
            models: Any = client.models
            service = models._registry_service_client
            way = (
                f"/subscriptions/{service._config.subscription_id}"
                f"/resourceGroups/{models._resource_group_name}"
                f"/providers/Microsoft.MachineLearningServices/registries/{self._registry}"
                f"/datarefs/{named}"
            )
            asset = f"azureml://registries/{self._registry}/models/{named}"
            body = {"assetId": asset, "blobUri": model.uri}
            answer = service.send_request(HttpRequest("POST", way, params=_DATA_PLANE, json=body))
            answer.raise_for_status()
            told: Mapping[str, Any] = answer.json()
            return told

        return self._must(self._asked(ask))

    def _of_workspace(self, model: ModelVersion) -> BlobFolder:
        path = in_datastore(model.uri)
        if is_elsewhere(path.workspace, self._access.given):
            raise ModelInvalid("the model's files are in the datastore of another workspace")
        name = path.datastore

        def ask(client: MLClient) -> Any:
            stores: Any = client.datastores
            group, workspace = stores._resource_group_name, stores._workspace_name
            return stores._operation.get(
                name=name, resource_group_name=group, workspace_name=workspace
            )

        def secrets() -> Mapping[str, Any]:
            def ask_secrets(client: MLClient) -> Any:
                return client.datastores._list_secrets(name, expirable_secret=True)

            return _wire(self._must(self._asked(ask_secrets)))

        properties = _wire(self._must(self._asked(ask), name))["properties"]
        asked = secrets if needs_secrets(properties) else None
        return datastore_folder(properties, path.path, asked, self._identity, self._access)

    def _must(self, told: Result | None, datastore: str = "") -> Result:
        """`told`, without which nothing can be read. Raises: RegistryUnavailable."""
        if told is None:
            raise missing(self.place, datastore)
        return told

    def _asked(self, ask: Callable[[MLClient], Result]) -> Result | None:
        """What the client brings; None when the place is there and the thing is not."""
        client = self._opened()
        try:
            return ask(client)
        except HttpResponseError as error:
            if error.status_code == 404 and not is_about_place(error):
                return None
            raise unavailable(error, self.place) from None
        except ValidationException:
            raise
        except AzureError as error:
            raise unavailable(error, self.place) from None

    def _opened(self) -> MLClient:
        """Made once. Raises: RegistryUnavailable."""
        self._access.cloud()  # which the client too would ask, with more patience than we have
        with self._lock:
            if self._client is None:
                try:
                    self._client = self._made()
                except ResourceNotFoundError:
                    raise missing(self.place) from None
                except AzureError as error:
                    raise unavailable(error, self.place) from None
            return self._client

    def _made(self) -> MLClient:
        """Of a registry it asks where that is."""
        given = self._access.given
        kept: dict[str, Any] = {
            "show_progress": False,
            "enable_telemetry": False,
            "connection_timeout": CONNECT_S,
            "read_timeout": READ_S,
            "retry_policy": Patience(),
        }
        if self._registry is not None:
            return MLClient(self._identity, registry_name=self._registry, **kept)
        return MLClient(
            self._identity,
            subscription_id=given.subscription_id,
            resource_group_name=given.resource_group,
            workspace_name=given.workspace_name,
            **kept,
        )

    @property
    def place(self) -> Place:
        """See `Metadata`."""
        return place_of(self._access.given.workspace_name, self._registry, self._access.host)


class _Raw:
    """What a registry lists, as it is."""

    @staticmethod
    def _deserialize(told: Any, _: object) -> Any:
        return told


def _wire(told: Any) -> Mapping[str, Any]:
    """As it came, whatever class the client made of it."""
    found: Mapping[str, Any] = told.as_dict() if hasattr(told, "as_dict") else told
    return found


def open_metadata(access: Access, identity: str, registry: str | None) -> SdkMetadata:
    """See `OpenMetadata`."""
    return SdkMetadata(access, identity, registry)
