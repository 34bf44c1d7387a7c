"""Who a process is to Azure: by what it finds, for how long, and what it says when it is nobody."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.azure import identity as identities
from app.azure.clouds import CLOUDS, find
from app.azure.identity import Identity, Principal
from app.errors import RegistryUnavailable
from tests.azure.authority import CLIENT, FEDERATED, SECRET, TENANT
from tests.azure.fixtures import OLDER, Azure
from tests.azure.proxy import Proxy
from tests.server import run, serving

SCOPE = "https://management.example/.default"


def principal(azure: Azure, **given: Any) -> Principal:
    return Principal(
        **{
            "tenant_id": TENANT, "client_id": CLIENT, "client_secret": SECRET,
            "authority": lambda: azure.authority.url, "has_own_authority": True, **given,
        }
    )  # fmt: skip


@pytest.fixture
def managed(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Azure:
    """A machine with a managed identity."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.authority.metadata_url)
    return azure


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, "secret"),
        ({"federated_token_file": "/var/run/token"}, "workload"),
        ({"client_secret": None}, "managed"),
        ({"tenant_id": None}, "managed"),
        ({"choice": "managed"}, "managed"),
        ({"choice": "managed:abc"}, "managed"),
        ({"choice": "secret", "federated_token_file": "/var/run/token"}, "secret"),
        ({"choice": "cli"}, "cli"),
    ],
)
def test_the_identity_is_the_one_whose_variables_are_there_unless_one_is_named(
    azure: Azure, given: dict[str, str | None], kind: str
) -> None:
    assert principal(azure, **given).kind == kind


def test_a_federated_token_is_exchanged(azure: Azure, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(FEDERATED)
    path = str(tmp_path / "token")

    Identity(principal(azure, federated_token_file=path, client_secret=None)).get_token(SCOPE)

    sent = next(r.values for r in azure.authority.requests if r.path.endswith("/token"))
    assert sent["client_assertion"] == FEDERATED


@pytest.mark.parametrize("names", ["older", "newer"])
def test_a_server_signs_in_by_either_names_of_the_variables(azure: Azure, names: str) -> None:
    azure.authority.requests.clear()
    newer = {f"AZURE_{n}" if "ID" in n or "SECRET" in n else n: v for n, v in OLDER.items()}
    given = {**azure.environment(), **(OLDER if names == "older" else newer)}

    with serving("/readyz", **given, SERVE_REGISTRY="") as server:
        told = server.get("/healthcheck").json()

    assert "churn-ws" in told["WorkspaceDetails"]
    assert [r.values["client_id"] for r in azure.authority.requests if "/token" in r.path]
    assert ("are taken as AZURE_TENANT_ID" in server.log()) == (names == "older")


@pytest.mark.parametrize(("choice", "asked"), [("managed", None), ("managed:abc", "abc")])
def test_a_managed_identity_is_asked_of_the_machine(
    managed: Azure, choice: str, asked: str | None
) -> None:
    managed.authority.requests.clear()

    Identity(principal(managed, choice=choice, client_id=None)).get_token(SCOPE)

    sent = managed.authority.requests[-1]
    assert sent.path == "/metadata/identity/oauth2/token"
    assert sent.values.get("client_id") == asked


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"client_secret": "bad~value"}, r"AADSTS7000215\): the client secret is wrong"),
        ({"client_id": "nobody"}, r"AADSTS700016\): .* no such application: AZURE_CLIENT_ID"),
        ({"tenant_id": "0" * 32}, r"no such directory: AZURE_TENANT_ID|AZURE_TENANT_ID"),
        ({"choice": "secret", "client_id": None}, "AZURE_CLIENT_ID is not set"),
        ({"choice": "workload"}, "AZURE_FEDERATED_TOKEN_FILE is not set"),
        ({"federated_token_file": "/nowhere"}, "check AZURE_FEDERATED_TOKEN_FILE"),
        ({"choice": "cli"}, "sign in with az login"),
    ],
)
def test_who_gets_no_token_is_told_why_and_no_secret(
    azure: Azure, given: dict[str, str | None], told: str
) -> None:
    with pytest.raises(RegistryUnavailable, match=told) as caught:
        Identity(principal(azure, **given)).get_token(SCOPE)

    assert SECRET not in caught.value.message
    assert str(given.get("client_secret")) not in caught.value.message


def test_a_federated_token_that_is_not_taken_is_told(azure: Azure, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another.assertion")
    given = principal(azure, federated_token_file=str(tmp_path / "token"))

    with pytest.raises(RegistryUnavailable, match=r"AADSTS700211.*no federated credential"):
        Identity(given).get_token(SCOPE)


def test_a_token_is_kept_until_shortly_before_it_ends(azure: Azure) -> None:
    azure.authority.requests.clear()
    identity = Identity(principal(azure))

    tokens = {identity.get_token(SCOPE).token for _ in range(3)}

    assert len(tokens) == 1
    assert azure.authority.asked("/token") == 1


def test_twenty_threads_cause_one_request_for_a_token(azure: Azure) -> None:
    azure.authority.requests.clear()
    identity = Identity(principal(azure))
    with ThreadPoolExecutor(20) as threads:
        tokens = set(threads.map(lambda _: identity.get_token(SCOPE).token, range(20)))

    assert len(tokens) == 1
    assert azure.authority.asked("/token") == 1


def until_renewed(identity: Identity, token: str) -> str:
    until = time.monotonic() + 10
    while (now := identity.get_token(SCOPE).token) == token and time.monotonic() < until:
        time.sleep(0.02)
    return now


def test_a_token_is_renewed_before_it_ends_and_nobody_waits(managed: Azure) -> None:
    managed.authority.lifetime_s = 200
    identity = Identity(principal(managed, choice="managed"), renew_s=300)
    old = identity.get_token(SCOPE).token
    managed.authority.fail("/token", hang=True, count=1)

    started = time.monotonic()
    assert identity.get_token(SCOPE).token == old
    assert time.monotonic() - started < 2
    managed.authority.lifetime_s = 3600
    assert until_renewed(identity, old) != old


def test_while_a_token_cannot_be_renewed_the_old_one_is_used_as_long_as_it_is_valid(
    managed: Azure, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    managed.authority.lifetime_s = 3
    monkeypatch.setattr(identities, "_AGAIN_S", 0)
    identity = Identity(principal(managed, choice="managed"))
    old = identity.get_token(SCOPE).token
    managed.authority.fail("/token", 400, body={"error": "invalid_request"})

    assert identity.get_token(SCOPE).token == old
    assert "the token at hand is used as long as it lasts: no token for Azure" in caplog.text
    time.sleep(3)
    with pytest.raises(RegistryUnavailable, match="managed identity"):
        identity.get_token(SCOPE)
    managed.authority.mend()
    assert identity.get_token(SCOPE).token != old


@pytest.mark.parametrize("choice", ["managed", "secret", "workload"])
def test_an_address_that_takes_connections_and_never_answers_is_told_in_time(
    managed: Azure, choice: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(FEDERATED)
    managed.authority.fail("/", hang=True)
    given = principal(managed, choice=choice, federated_token_file=str(tmp_path / "token"))
    identity = Identity(given, deadline_s=0.5)
    started = time.monotonic()

    with pytest.raises(RegistryUnavailable, match=r"no token for Azure within .* is the way to it"):
        identity.get_token(SCOPE)
    assert time.monotonic() - started < 5


def test_an_issuer_that_refuses_connections_is_told(azure: Azure) -> None:
    with Proxy(azure.authority.ports[0]) as proxy:
        url = f"https://localhost:{proxy.port}"
    given = principal(azure, authority=lambda: url)

    with pytest.raises(RegistryUnavailable, match="the network lets the pod reach the issuer"):
        Identity(given).get_token(SCOPE)


@pytest.mark.parametrize("name", CLOUDS)
def test_a_sovereign_cloud_is_chosen_by_its_name(name: str) -> None:
    suffix = {"AzureCloud": ".com", "AzureChinaCloud": ".cn", "AzureUSGovernment": ".net"}[name]

    cloud = find(name, None, None)

    assert cloud.resource_manager.endswith(suffix)
    assert cloud.scope == f"{cloud.resource_manager}/.default"


def test_a_private_cloud_tells_of_its_endpoints(azure: Azure) -> None:
    url = azure.environment()["ARM_CLOUD_METADATA_URL"]

    for name in ("LocalTest", None):
        assert find(name, url, None).authority == azure.authority.url
    assert find("AzureCloud", None, "https://x.test/").registry_discovery == "https://x.test"


@pytest.mark.parametrize(
    ("name", "url", "told"),
    [
        ("Nowhere", None, "AZUREML_CURRENT_CLOUD names no known cloud"),
        ("Nowhere", "{}", "does not tell of this cloud's endpoints"),
        (None, "https://nowhere.azlocal.test/", "by DNS; check ARM_CLOUD_METADATA_URL"),
    ],
)
def test_a_cloud_that_cannot_be_found_is_told(
    azure: Azure, name: str | None, url: str | None, told: str
) -> None:
    metadata = url and url.format(azure.environment()["ARM_CLOUD_METADATA_URL"])
    at = azure.environment()["ARM_CLOUD_METADATA_URL"] if url == "{}" else metadata

    with pytest.raises(RegistryUnavailable, match=re.escape(told)):
        find(name, at, None)


def test_a_server_without_any_identity_says_so_and_lives(azure: Azure, tmp_path: Path) -> None:
    given = {n: v for n, v in OLDER.items() if n not in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")}
    metadata = {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:9"}
    told = run(
        tmp_path,
        "score",
        "m",
        settings={**azure.environment(), **given, **metadata, "SERVE_REGISTRY": ""},
    )

    assert told.returncode != 0
    assert b"no managed identity answers here" in told.stderr
