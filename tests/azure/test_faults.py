"""What Azure ML refuses, delays or garbles is told with its mend, in time, by both clients."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.azure import patience
from app.errors import ModelNotFound, RegistryUnavailable
from app.registries import Registry
from app.registries.azureml import rest, sdk
from app.store import Store
from tests.azure.conftest import Open, files_of
from tests.azure.control_plane import CONTAINER, REGISTRY
from tests.azure.fixtures import Azure

CLIENTS = ["rest", "sdk"]
WORKSPACE = r"workspace churn-ws answered"


def error(code: str, message: str = "told") -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@pytest.fixture(params=CLIENTS)
def registry(request: pytest.FixtureRequest, azure: Azure, open_at: Open, prefix: str) -> Registry:
    """The workspace, with the model `m`."""
    azure.storage.put(CONTAINER, {f"{prefix}/f": b"1"})
    azure.plane.register("m", "1", prefix)
    return open_at(client=request.param)


REFUSED = [
    ("/models/", 401, error("InvalidAuthenticationToken"), f"{WORKSPACE} 401 .*AZURE_TENANT_ID"),
    ("/models/", 401, error("ExpiredAuthenticationToken"), "clock of this machine"),
    ("/models/", 401, error("InvalidAuthenticationTokenTenant"), "check AZURE_TENANT_ID"),
    ("/models/", 403, error("AuthorizationFailed"), f'{WORKSPACE} 403 .*"AzureML Data Scientist"'),
    ("/models/", 403, {}, 'give this identity the role "AzureML Data Scientist"'),
    ("/datastores/", 403, error("AuthorizationFailed"), '"AzureML Data Scientist"'),
    ("/listSecrets", 403, error("AuthorizationFailed"), '"AzureML Data Scientist"'),
    ("/models/", 404, error("SubscriptionNotFound"), "check SUBSCRIPTION_ID"),
    ("/models/", 400, error("InvalidSubscriptionId"), "SUBSCRIPTION_ID is no subscription's id"),
    ("/models/", 404, error("ResourceGroupNotFound"), "check RESOURCE_GROUP"),
    (
        "/models/",
        404,
        error(
            "ResourceNotFound",
            "The Resource 'Microsoft.MachineLearningServices/workspaces/churn-ws' under resource "
            "group 'rg' was not found.",
        ),
        "check SUBSCRIPTION_ID, RESOURCE_GROUP and WORKSPACE_NAME",
    ),
    (
        "/datastores/",
        404,
        error("UserError"),
        "workspace churn-ws has no datastore workspaceblobstore",
    ),
    ("/listSecrets", 404, {}, "there is no workspace churn-ws"),
    ("/models/", 429, error("TooManyRequests"), f"{WORKSPACE} 429 .*asked again later"),
    ("/models/", 503, error("ServerBusy"), f"{WORKSPACE} 503 .*asked again later"),
]


@pytest.mark.parametrize(("of", "status", "body", "told"), REFUSED)
def test_what_the_workspace_refuses_is_told_with_its_mend(
    azure: Azure, registry: Registry, store: Store, of: str, status: int, body: Any, told: str
) -> None:
    azure.plane.fail(of, status, body=body, headers={"Retry-After": "120"})

    with pytest.raises(RegistryUnavailable, match=told):
        files_of(store, registry)
    azure.plane.mend()
    assert files_of(store, registry) == {"f": b"1"}


@pytest.mark.parametrize(("name", "version"), [("m", "9"), ("nobody", None), ("nobody", "1")])
def test_what_is_not_registered_is_not_found(
    registry: Registry, name: str, version: str | None
) -> None:
    with pytest.raises(ModelNotFound):
        registry.resolve(name, version)


@pytest.mark.parametrize(
    ("status", "headers", "count"), [(429, {"Retry-After": "1"}, 1), (503, {}, 2), (500, {}, 1)]
)
def test_a_burst_of_refusals_is_sat_out(
    azure: Azure, registry: Registry, store: Store, status: int, headers: Any, count: int
) -> None:
    azure.plane.fail("/models/m", status, headers=headers, count=count)

    assert files_of(store, registry) == {"f": b"1"}
    assert azure.plane.asked("/models/m") > count


def test_who_is_told_to_wait_long_waits_so_long_before_the_next_try(
    azure: Azure, registry: Registry
) -> None:
    azure.plane.fail("/models/m", 429, headers={"Retry-After": "120"})
    started = time.monotonic()

    with pytest.raises(RegistryUnavailable, match="429") as caught:
        registry.resolve("m", None)
    assert caught.value.retry_after_s == 120
    assert time.monotonic() - started < 10
    assert azure.plane.asked("/models/m") == 1


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b"[1]", b'"text"', b"{", b"null"])
def test_an_answer_that_is_no_json_object_is_told(
    azure: Azure, registry: Registry, body: bytes
) -> None:
    azure.plane.fail("/models/m", 200, body=body)

    with pytest.raises(RegistryUnavailable, match="workspace churn-ws answered with"):
        registry.resolve("m", "1")


ODD = [
    ("/models/m", {"value": 5}),
    ("/models/m", {"value": ["text"]}),
    ("/models/m", {"value": [{"name": "1", "properties": "text"}]}),
    ("/datastores/", {"properties": "text"}),
    ("/datastores/", {}),
    ("/listSecrets", {"secretsType": "AccountKey", "key": 5}),
    ("/listSecrets", {"secretsType": "Other"}),
    ("/listSecrets", {}),
]


@pytest.mark.parametrize(("of", "body"), ODD)
def test_an_answer_of_another_form_is_told_and_does_no_harm(
    azure: Azure, registry: Registry, store: Store, of: str, body: Any
) -> None:
    azure.plane.fail(of, 200, body=body)

    with pytest.raises((RegistryUnavailable, ModelNotFound)):
        files_of(store, registry)


def test_a_next_page_elsewhere_gets_no_token(azure: Azure, open_at: Open) -> None:
    page = {"value": [], "nextLink": f"{azure.authority.url}/steal"}
    azure.plane.fail("/models", 200, body=page)

    with pytest.raises(RegistryUnavailable, match="sends elsewhere for its next page"):
        open_at().names()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_name_that_dns_does_not_know_is_told(
    open_at: Open, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARM_CLOUD_METADATA_URL")
    public = open_at(client=client, cloud="AzureCloud", cloud_metadata_url=None)

    with pytest.raises(
        RegistryUnavailable, match=r"management\.azure\.com.* by DNS; .*private DNS"
    ):
        public.resolve("m", None)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_registry_that_is_not_there_is_told(open_at: Open, client: str) -> None:
    for ask in ("resolve", "names"):
        opened = open_at("azureml://registries/nowhere", client=client)
        with pytest.raises(RegistryUnavailable, match=r"registry nowhere.*check the name of the"):
            getattr(opened, ask)(*["m", None][: 2 * (ask == "resolve")])


@pytest.mark.parametrize("client", CLIENTS)
def test_a_registry_that_refuses_names_its_role(azure: Azure, open_at: Open, client: str) -> None:
    azure.plane.fail(f"/registries/{REGISTRY}/models", 403, body=error("AuthorizationFailed"))

    with pytest.raises(RegistryUnavailable, match=r'registry shared .*"AzureML Registry User"'):
        open_at(f"azureml://registries/{REGISTRY}", client=client).resolve("m", None)


def test_a_resource_manager_that_never_answers_is_given_up(
    azure: Azure, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (rest, sdk):
        monkeypatch.setattr(module, "READ_S", 0.5)
    monkeypatch.setattr(patience, "_TOTAL_S", 1)
    azure.plane.fail("/models/m", hang=True)
    started = time.monotonic()

    with pytest.raises(RegistryUnavailable, match=r"did not answer in time.*proxy or a firewall"):
        registry.resolve("m", None)
    assert time.monotonic() - started < 10


@pytest.mark.long
@pytest.mark.parametrize("hangs", ["/models/m", "/subscriptions", "/metadata", "token"])
@pytest.mark.parametrize("client", CLIENTS)
def test_whatever_never_answers_is_given_up_within_thirty_seconds(
    azure: Azure, open_at: Open, client: str, hangs: str
) -> None:
    (azure.authority if hangs == "token" else azure.plane).fail(hangs, hang=True)
    started = time.monotonic()

    with pytest.raises(RegistryUnavailable, match=r"in time|no token for Azure"):
        open_at(client=client).resolve("m", None)
    assert time.monotonic() - started < 30
