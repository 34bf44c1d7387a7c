"""What the storage refuses, delays or spoils is told with its mend; signatures are renewed once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from app.azure import blobs
from app.errors import RegistryUnavailable
from app.store import Store
from tests.azure.certificates import write_certificates
from tests.azure.conftest import Bring, Open, files_of, leftovers
from tests.azure.control_plane import CONTAINER, REGISTRY, REGISTRY_CONTAINER
from tests.azure.fixtures import Azure
from tests.azure.gateway import Gateway
from tests.azure.proxy import Proxy
from tests.azure.storage import Storage

CLIENTS = ["rest", "sdk"]
READER = 'role "Storage Blob Data Reader" on the storage account'
ACCOUNT = "container azureml-blobstore of storage account mlstore answered"
FILES = {"m/model.onnx": b"x" * 10_000, "m/f": b"1"}


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "AuthorizationPermissionMismatch", f"{ACCOUNT} 403 .*{READER}"),
        (403, "AuthorizationFailure", "firewall does not let this network in"),
        (403, "KeyBasedAuthenticationNotPermitted", f"takes no keys.*{READER[:30]}"),
        (403, "AuthenticationFailed", f"{ACCOUNT} 403 .*the token is not taken"),
        (403, "", f"{ACCOUNT} 403: .*{READER}"),
        (401, "NoAuthenticationInformation", "takes no anonymous requests"),
        (401, "InvalidAuthenticationInfo", "the token is not taken"),
        (404, "ContainerNotFound", "there is no such container"),
        (503, "ServerBusy", f"{ACCOUNT} 503 ServerBusy: it is asked again later"),
    ],
)
@pytest.mark.parametrize("of", ["restype=container", "model.onnx"])
def test_what_the_storage_refuses_is_told_with_its_mend(
    azure: Azure, gateway: Gateway, bring: Bring, status: int, code: str, told: str, of: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    azure.plane.credentials = "None"
    gateway.fail(of, status, code)
    expected = "was changed or deleted" if status == 404 and of == "model.onnx" else told

    with pytest.raises(RegistryUnavailable, match=expected):
        bring(FILES)
    assert leftovers(tmp_path / "store") == []


def test_a_burst_of_refusals_is_sat_out(gateway: Gateway, bring: Bring) -> None:
    gateway.fail("restype=container", 503, "ServerBusy", count=1)
    gateway.fail("model.onnx", 503, "ServerBusy", count=2)

    assert bring(FILES) == {"model.onnx": b"x" * 10_000, "f": b"1"}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_signature_that_expires_in_mid_download_is_renewed_once(
    azure: Azure, gateway: Gateway, bring: Bring, client: str
) -> None:
    old, new = azure.storage.sas(CONTAINER), azure.storage.sas(CONTAINER, lasts_s=7200)
    given = iter([old, new])
    azure.plane.credentials = "Sas"
    azure.plane.secret = lambda: {"secretsType": "Sas", "sasToken": next(given)}
    signature = old.partition("sig=")[2].partition("&")[0]
    gateway.fail(signature, 403, "AuthenticationFailed", ranged=True)

    assert bring(FILES, client=client) == {"model.onnx": b"x" * 10_000, "f": b"1"}
    assert azure.plane.asked("/listSecrets") == 2


def test_the_signature_of_a_registry_is_renewed_too(
    azure: Azure, gateway: Gateway, store: Store, open_at: Open, prefix: str
) -> None:
    azure.storage.put(REGISTRY_CONTAINER, {f"{prefix}/f": b"1"})
    azure.plane.register("m", "1", prefix, place="registry")
    gateway.fail("/f?", 403, "AuthenticationFailed", ranged=True, count=1)

    assert files_of(store, open_at(f"azureml://registries/{REGISTRY}")) == {"f": b"1"}
    assert azure.plane.asked("/datareferences/") == 2


@pytest.mark.parametrize("client", CLIENTS)
def test_a_new_signature_that_is_not_taken_either_is_told(
    azure: Azure, gateway: Gateway, bring: Bring, client: str
) -> None:
    azure.plane.credentials = "Sas"
    azure.plane.secret = lambda: {"secretsType": "Sas", "sasToken": azure.storage.sas(CONTAINER)}
    gateway.fail("sig=", 403, "AuthenticationFailed", ranged=True)

    with pytest.raises(RegistryUnavailable, match="shared access signature has expired"):
        bring({"m/f": b"1"}, client=client)
    assert azure.plane.asked("/listSecrets") == 2


def test_a_signature_that_cannot_be_renewed_is_told(
    azure: Azure, gateway: Gateway, bring: Bring
) -> None:
    azure.plane.credentials = "Sas"
    azure.plane.secret = lambda: {"secretsType": "Sas", "sasToken": azure.storage.sas(CONTAINER)}
    gateway.fail(
        "m/f?", 403, "AuthenticationFailed", ranged=True,
        does=lambda: azure.plane.fail("/listSecrets", 403, body={}),
    )  # fmt: skip

    with pytest.raises(RegistryUnavailable, match="AzureML Data Scientist"):
        bring({"m/f": b"1"})


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("sas", r"container models of .* the shared access signature has expired"),
        ("key", r"container models of .*: the account key is not taken; was it changed"),
    ],
)
def test_a_registry_whose_own_credential_is_over_is_told(
    azure: Azure, open_at: Open, secret: str, told: str
) -> None:
    expired, key = azure.storage.sas("models", lasts_s=-60), "d3Jvbmc="
    url = f"{azure.storage.url}/models"
    registry = open_at(url, storage_key=key) if secret == "key" else open_at(f"{url}?{expired}")

    with pytest.raises(RegistryUnavailable, match=told):
        registry.resolve("m", None)


def test_a_datastore_whose_key_was_changed_is_told(azure: Azure, bring: Bring) -> None:
    azure.plane.secret = lambda: {"secretsType": "AccountKey", "key": "d3Jvbmc="}

    with pytest.raises(RegistryUnavailable, match=f"{ACCOUNT} 4.*the account key is not taken"):
        bring(FILES)


def test_a_name_that_dns_does_not_know_is_told(open_at: Open) -> None:
    with pytest.raises(RegistryUnavailable, match=r"nowhere\.azlocal\.test.* by DNS"):
        open_at("https://nowhere.azlocal.test/models", storage_key="a2V5").names()


def test_a_storage_that_refuses_connections_is_told(azure: Azure, open_at: Open) -> None:
    with Proxy(azure.storage.port) as proxy:
        url = f"{Storage(proxy.port).url}/models"

    with pytest.raises(RegistryUnavailable, match="cannot be reached; is the way out"):
        open_at(url, storage_key="a2V5").names()


def test_a_certificate_that_is_not_trusted_is_told(
    azure: Azure, open_at: Open, tmp_path: Path
) -> None:
    with Gateway(write_certificates(tmp_path), azure.storage) as gateway:
        url = f"{gateway.storage.url}/models"
        with pytest.raises(RegistryUnavailable, match=r"not trusted here; .*REQUESTS_CA_BUNDLE"):
            open_at(url, storage_key="a2V5").names()


@pytest.mark.parametrize("of", ["restype=container", "model.onnx"])
def test_a_storage_that_stalls_in_mid_body_is_told_in_time(
    gateway: Gateway, bring: Bring, monkeypatch: pytest.MonkeyPatch, of: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(blobs, "READ_S", 0.3)
    gateway.fail(of, hang_at=100)
    started = time.monotonic()

    with pytest.raises(RegistryUnavailable, match="did not answer in time, or broke off"):
        bring(FILES)
    assert time.monotonic() - started < 10
    assert leftovers(tmp_path / "store") == []


@pytest.mark.long
@pytest.mark.parametrize("of", ["restype=container", "model.onnx"])
def test_a_storage_that_stalls_is_given_up_within_thirty_seconds(
    gateway: Gateway, bring: Bring, of: str
) -> None:
    gateway.fail(of, hang_at=100)
    started = time.monotonic()

    with pytest.raises(RegistryUnavailable, match="did not answer in time, or broke off"):
        bring(FILES)
    assert time.monotonic() - started < 31


def test_one_stall_is_sat_out(
    gateway: Gateway, bring: Bring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "READ_S", 0.3)
    gateway.fail("model.onnx", hang_at=100, count=1)

    assert bring(FILES) == {"model.onnx": b"x" * 10_000, "f": b"1"}


def test_a_proxy_that_ignores_ranges_is_told(gateway: Gateway, bring: Bring) -> None:
    gateway.fail("model.onnx", 200, ranged=True)

    with pytest.raises(RegistryUnavailable, match="container azureml-blobstore"):
        bring(FILES)


def test_a_listing_that_is_no_xml_is_told(gateway: Gateway, bring: Bring) -> None:
    gateway.fail("restype=container", 200, code="<Sign in", headers={"Content-Type": "text/html"})

    with pytest.raises(RegistryUnavailable, match="with something else than Azure does"):
        bring(FILES)


def test_connections_that_break_are_told_and_the_next_try_is_whole(
    azure: Azure, bring: Bring, store: Store, open_at: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(azure.storage.port) as proxy:
        monkeypatch.setattr(azure.plane, "_storage", Storage(proxy.port))
        proxy.cut_after = 30_000
        with pytest.raises(RegistryUnavailable, match="container azureml-blobstore"):
            bring({"m/f": b"x" * 100_000})
        proxy.cut_after = 0
        assert files_of(store, open_at()) == {"f": b"x" * 100_000}
