"""A stand-in of Azure's resource manager: the routes of Azure ML that its real clients ask."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.azure.certificates import Certificates
from tests.azure.stand_in import Answer, Request, StandIn
from tests.azure.storage import ACCOUNT, KEY, Storage

SUBSCRIPTION = "00000000-1111-2222-3333-444444444444"
GROUP = "rg"
WORKSPACE = "churn-ws"
REGISTRY = "shared"
DATASTORE = "workspaceblobstore"
CONTAINER = "azureml-blobstore"
REGISTRY_CONTAINER = "registry-models"
PAGE = 2
"""Items of one page."""

_PROVIDER = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    "/providers/Microsoft.MachineLearningServices"
)
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Place:
    """A workspace, or a registry: models by name, versions by number, in the order they came."""

    id: str
    asset_id: str
    """How the ids of its models begin."""
    models: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    created: int = 0

    def put(self, name: str, version: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        self.created += 1
        at = (_EPOCH + timedelta(seconds=self.created)).isoformat()
        told = {
            "id": f"{self.asset_id}/models/{name}/versions/{version}",
            "name": version,
            "type": "Microsoft.MachineLearningServices/workspaces/models/versions",
            "properties": {"flavors": {}, "isArchived": False, **properties},
            "systemData": {"createdAt": at},
        }
        self.models.setdefault(name, {})[version] = told
        return told

    def listed(self, name: str) -> list[dict[str, Any]]:
        found = self.models.get(name, {}).values()
        return [told for told in found if not told["properties"]["isArchived"]]


class ControlPlane(StandIn):
    """One workspace and one registry, whose files are in `storage`."""

    def __init__(self, certificates: Certificates, storage: Storage, authority_url: str) -> None:
        super().__init__(certificates.server_context())
        self.url = f"https://localhost:{self.ports[0]}"
        self._storage = storage
        self._authority_url = authority_url
        provider = _PROVIDER
        workspace = f"{provider}/workspaces/{WORKSPACE}"
        self.workspace = Place(workspace, workspace)
        self.registry = Place(
            f"{provider}/registries/{REGISTRY}", f"azureml://registries/{REGISTRY}"
        )
        self.credentials = "AccountKey"
        """Of the datastore: AccountKey, Sas or None."""
        self.secret: Callable[[], dict[str, Any]] = self._key
        """What listSecrets answers."""
        self.registry_gives_sas = True

    def environment(self) -> dict[str, str]:
        """What leads the real clients here."""
        return {
            "ARM_CLOUD_METADATA_URL": f"{self.url}/metadata/endpoints?api-version=2019-05-01",
            "REGISTRY_DISCOVERY_ENDPOINT_URL": f"{self.url}/",
        }

    def register(
        self, name: str, version: str, path: str, *, place: str = "workspace", **properties: Any
    ) -> None:
        """A version whose files are at `path` in the container of the workspace or registry."""
        if place == "workspace":
            uri = (
                f"azureml://subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/workspaces/"
                f"{WORKSPACE}/datastores/{DATASTORE}/paths/{path}"
            )
            self.workspace.put(name, version, {"modelUri": uri, **properties})
        else:
            uri = f"{self._storage.url}/{REGISTRY_CONTAINER}/{path}"
            self.registry.put(name, version, {"modelUri": uri, **properties})

    def forget(self) -> None:
        """As new."""
        for place in (self.workspace, self.registry):
            place.models.clear()
        self.mend()
        self.requests.clear()
        self.credentials, self.secret, self.registry_gives_sas = "AccountKey", self._key, True

    def answer(self, request: Request) -> Answer:
        path = unquote(request.path)
        for pattern, answer in _ROUTES:
            if found := re.fullmatch(pattern, path):
                if "authorization" not in request.headers and "/metadata/" not in path:
                    return Answer(_error("AuthenticationFailed", "no token"), 401)
                return answer(self, request, *found.groups())
        text = f"The Resource '{path}' was not found"
        return Answer(_error("ResourceNotFound", text), 404)

    def _key(self) -> dict[str, Any]:
        return {"secretsType": "AccountKey", "key": KEY}

    def _metadata(self, _: Request) -> Answer:
        cloud = {
            "name": "LocalTest",
            "portal": "https://portal.azlocal.test/",
            "resourceManager": self.url,
            "authentication": {"loginEndpoint": self._authority_url},
            "suffixes": {"storage": self._storage.suffix},
        }
        return Answer([cloud])  # type: ignore[arg-type]  # the one answer that is a list

    def _discovery(self, _: Request, name: str) -> Answer:
        if name != REGISTRY:
            return Answer(_error("RegistryNotFound", "no such registry"), 404)
        told = {
            "registryName": name, "subscriptionId": SUBSCRIPTION, "resourceGroup": GROUP,
            "primaryRegionResourceProviderUri": f"{self.url}/",
        }  # fmt: skip
        return Answer(told)

    def _place(self, kind: str) -> Place:
        return self.workspace if kind == "workspaces" else self.registry

    def _described(self, _: Request, kind: str) -> Answer:
        place = self._place(kind)
        told = {
            "id": place.id, "name": place.id.rpartition("/")[2], "location": "westeurope",
            "properties": {"workspaceId": "guid", "keyVault": "vault", "applicationInsights": "ai"},
        }  # fmt: skip
        return Answer(told)

    def _models(self, request: Request, kind: str) -> Answer:
        place = self._place(kind)
        told = [self._container(place, name) for name in place.models if place.listed(name)]
        return self._page(request, told)

    def _container(self, place: Place, name: str) -> dict[str, Any]:
        versions = place.models[name]
        numbers = [int(version) for version in versions if version.isdigit()]
        properties = {
            "latestVersion": list(versions)[-1],
            "nextVersion": str(max(numbers, default=0) + 1),
            "isArchived": False,
            "properties": {},
            "tags": {},
        }
        created = {"createdAt": _EPOCH.isoformat()}
        return {
            "id": f"{place.id}/models/{name}", "name": name, "properties": properties,
            "systemData": created,
        }  # fmt: skip

    def _model(self, _: Request, kind: str, name: str) -> Answer:
        place = self._place(kind)
        if name not in place.models:
            return _no_model(name)
        return Answer(self._container(place, name))

    def _versions(self, request: Request, kind: str, name: str) -> Answer:
        told = self._place(kind).listed(name)
        if "createdtime desc" in request.values.get("$orderBy", "").lower():
            told = sorted(told, key=lambda one: str(one["systemData"]["createdAt"]), reverse=True)
        top = int(request.values.get("$top", 1000))
        return self._page(request, told[:top])

    def _version(self, request: Request, kind: str, name: str, version: str) -> Answer:
        place = self._place(kind)
        found = place.models.get(name, {}).get(version)
        if request.method == "PUT":
            given = request.json()["properties"]
            given["modelUri"] = given["modelUri"].partition("?")[0]
            if found is not None and found["properties"]["modelUri"] != given["modelUri"]:
                return Answer(_error("UserError", "Asset paths cannot be updated."), 400)
            return Answer(place.put(name, version, given), 201)
        return _no_model(f"{name}:{version}") if found is None else Answer(found)

    def _datastore(self, _: Request, kind: str, name: str) -> Answer:
        if name != DATASTORE:
            return _no_model(name)
        properties = {
            "datastoreType": "AzureBlob", "accountName": ACCOUNT, "containerName": CONTAINER,
            "endpoint": self._storage.suffix, "protocol": "https", "isDefault": True,
            "credentials": {"credentialsType": self.credentials}, "tags": {}, "properties": {},
            "serviceDataAccessAuthIdentity": "None",
        }  # fmt: skip
        told = {
            "id": f"{self.workspace.id}/datastores/{name}", "name": name, "properties": properties,
            "systemData": {"createdAt": _EPOCH.isoformat()},
        }  # fmt: skip
        return Answer(told)

    def _datastores(self, request: Request, kind: str) -> Answer:
        return Answer({"value": [self._datastore(request, kind, DATASTORE).body]})

    def _secrets(self, _: Request, kind: str, name: str) -> Answer:
        return Answer(self.secret())

    def _reference(self, request: Request, kind: str, name: str, version: str) -> Answer:
        found = self.registry.models.get(name, {}).get(version)
        if found is None:
            return _no_model(f"{name}:{version}")
        return Answer({"blobReferenceForConsumption": self._blob(found["properties"]["modelUri"])})

    def _upload(self, _: Request, kind: str, name: str, version: str) -> Answer:
        """A container of its own for each version, as long as there is none."""
        if version in self.registry.models.get(name, {}):
            return Answer(_error("UserError", "Asset already exists"), 409)
        container = f"{REGISTRY}-{hashlib.sha256(f'{name}/{version}'.encode()).hexdigest()[:32]}"
        self._storage.container(container)
        return Answer(
            {"blobReferenceForConsumption": self._blob(f"{self._storage.url}/{container}")}
        )

    def _blob(self, uri: str) -> dict[str, Any]:
        container = urlsplit(uri).path.split("/")[1]
        credential: dict[str, Any] = {"credentialType": "NoCredentials"}
        if self.registry_gives_sas:
            sas = f"{self._storage.url}/{container}?{self._storage.sas(container)}"
            credential = {"credentialType": "SAS", "sasUri": sas}
        return {"blobUri": uri, "storageAccountArmId": "arm", "credential": credential}

    def _page(self, request: Request, told: Iterable[dict[str, Any]]) -> Answer:
        items = list(told)
        skip = int(request.values.get("$skip", 0))
        page: dict[str, Any] = {"value": items[skip : skip + PAGE]}
        if skip + PAGE < len(items):
            more = f"api-version={request.values['api-version']}&$skip={skip + PAGE}"
            page["nextLink"] = f"{self.url}{request.path}?{more}"
        return Answer(page)


def _no_model(name: str) -> Answer:
    return Answer(_error("UserError", f"Model {name} could not be found"), 404)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


_PLACE = (
    rf"(?i:(?:/mferp/managementfrontend)?{_PROVIDER})"
    rf"/(workspaces|registries)/(?:{WORKSPACE}|{REGISTRY})"
)
_ROUTES: list[tuple[str, Callable[..., Answer]]] = [
    (r"/metadata/endpoints", ControlPlane._metadata),
    (r"/registrymanagement/v1.0/registries/([^/]+)/discovery", ControlPlane._discovery),
    (_PLACE, ControlPlane._described),
    (rf"{_PLACE}/models", ControlPlane._models),
    (rf"{_PLACE}/models/([^/]+)", ControlPlane._model),
    (rf"{_PLACE}/models/([^/]+)/versions", ControlPlane._versions),
    (rf"{_PLACE}/models/([^/]+)/versions/([^/]+)", ControlPlane._version),
    (rf"{_PLACE}/datastores", ControlPlane._datastores),
    (rf"{_PLACE}/datastores/([^/]+)", ControlPlane._datastore),
    (rf"{_PLACE}/datastores/([^/]+)/listSecrets", ControlPlane._secrets),
    (rf"{_PLACE}/(?:datareferences|datarefs)/([^/]+)/versions/([^/]+)", ControlPlane._reference),
    (rf"{_PLACE}/tempdatarefs/([^/]+)/versions/([^/]+)", ControlPlane._upload),
]
