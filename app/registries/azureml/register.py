"""Models go into a workspace or a registry of Azure ML by azure-ai-ml; only the commands do so."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from azure.ai.ml import MLClient
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import Model
from azure.ai.ml.exceptions import AssetPathException, MlException
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceNotFoundError,
)

from app import mlmodel
from app.azure.access import Access
from app.azure.faults import Place, code_of, readable, unavailable
from app.azure.patience import CONNECT_S, READ_S, Patience
from app.errors import RegistryUnavailable
from app.registries import Details, Refused, taken
from app.registries.azureml.wire import is_about_place, place_of

_TRIES: Final = 5
"""Numbers that are tried when others register under the same name at the same time."""
_TAKEN: Final = "Asset paths cannot be updated"
"""How the service says that a version has other files; azure-ai-ml knows an older form of it."""
_WRITE: Final = (
    'give this identity the role "Storage Blob Data Contributor" on the storage account, and look '
    "at its firewall"
)


class AzureMLRegistrar:
    """Of `azureml://workspace` or `azureml://registries/NAME`; see `Registrar`."""

    def __init__(self, name: str, url: str, access: Access, identity: str) -> None:
        parts = urlsplit(url)
        self._registry = parts.path.strip("/") if parts.netloc == "registries" else None
        self._access = access
        self._identity = access.identity(identity)

    def register(self, name: str, source: Path, version: str | None, details: Details) -> str:
        """See `Registrar`."""
        with _silence(), readable(self._place):
            try:
                return self._register(self._client(), name, source, version, details)
            except _Taken:
                raise Refused(
                    f"{name} got the same version from somebody else at the same time, with other "
                    "files, which never change; try again"
                ) from None
            except MlException as error:
                raise self._refused(error) from None
            except AzureError as error:
                raise self._unavailable(error) from None

    def _register(
        self, client: MLClient, name: str, source: Path, version: str | None, details: Details
    ) -> str:
        if version is not None and self._asked(client, name, version) is not None:
            raise Refused(taken(name, version))
        for _ in range(_TRIES - 1 if version is None else 0):
            with contextlib.suppress(_Taken):
                return self._put(client, name, source, self._next(client, name), details)
        return self._put(client, name, source, version or self._next(client, name), details)

    def _put(
        self, client: MLClient, name: str, source: Path, version: str, details: Details
    ) -> str:
        try:
            client.models.create_or_update(_model(name, source, version, details))
        except AttributeError:  # the answer has null for flavors, and the model is there
            told = self._asked(client, name, version)
            sha256 = None if told is None else (told.properties.properties or {}).get("sha256")
            if sha256 != details.properties["sha256"]:
                raise
        except (AssetPathException, HttpResponseError) as error:
            if isinstance(error, HttpResponseError) and _TAKEN not in str(error):
                raise
            raise _Taken from error
        return version

    def _next(self, client: MLClient, name: str) -> str:
        """As the service counts, archived versions too; azure-ai-ml cannot for a registry."""
        told = self._asked(client, name)
        return "1" if told is None else str(told.properties.next_version or 1)

    def _asked(self, client: MLClient, name: str, version: str | None = None) -> Any:
        """The version, or all of that name; None when there is none."""
        models: Any = client.models
        try:
            return models._get(name, version)
        except ResourceNotFoundError as error:
            if is_about_place(error):
                raise
            return None

    def _client(self) -> MLClient:
        given = self._access.given
        kept: dict[str, Any] = {
            "show_progress": True,  # without, it waits for ever for an upload that failed
            "enable_telemetry": False,
            "connection_timeout": CONNECT_S,
            "read_timeout": READ_S,
            "retry_policy": Patience(),
        }
        if self._registry is not None:
            kept["registry_name"] = self._registry
        else:
            kept["subscription_id"] = given.subscription_id
            kept["resource_group_name"] = given.resource_group
            kept["workspace_name"] = given.workspace_name
        client = MLClient(self._identity, **kept)
        models: Any = client.models
        # It asks only whether the newest version is an evaluator, and fails when flavors are null.
        models._get_model_properties = lambda *_: None
        return client

    @property
    def _place(self) -> Place:
        return place_of(self._access.given.workspace_name, self._registry, self._access.host)

    def _unavailable(self, error: AzureError) -> RegistryUnavailable:
        place = self._place
        request: Any = getattr(error, "request", None) or getattr(error, "response", None)
        url = getattr(getattr(request, "request", request), "url", "")
        if ".blob." in (urlsplit(str(url)).hostname or ""):
            storage = f"the storage of {place.name}"
            if isinstance(error, HttpResponseError) and error.status_code == 403:
                return RegistryUnavailable(f"{storage} answered 403 {code_of(error)}: {_WRITE}")
            place = Place(storage, place.settings, _WRITE)
        return unavailable(error, place)

    def _refused(self, error: MlException) -> Refused:
        """Its own text may hold an address with its signature."""
        said = str(error.no_personal_data_message or type(error).__name__).splitlines()[0]
        return Refused(f"{self._place.name} does not take the model: {said}")


class _Taken(Exception):
    """There is such a version by now, with other files."""


def _model(name: str, source: Path, version: str, details: Details) -> Model:
    is_mlflow = (source / mlmodel.FILE).is_file()
    return Model(
        name=name,
        path=source,
        version=version,
        type=AssetTypes.MLFLOW_MODEL if is_mlflow else AssetTypes.CUSTOM_MODEL,
        description=details.description or None,
        tags=dict(details.tags),
        properties=dict(details.properties),
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """azure-ai-ml draws its progress on standard error, and logs there through its own handlers."""
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
