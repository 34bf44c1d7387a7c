"""The stand-in of Entra ID, as the real clients meet it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)

from tests.azure.authority import CLIENT, FEDERATED, SECRET, STS, TENANT, Authority
from tests.azure.certificates import Certificates, write_certificates

ARM = "https://management.azure.com/.default"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def authority(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    for name, value in certificates.environment().items():
        monkeypatch.setenv(name, value)
    with Authority(certificates) as running:
        yield running


def secret_credential(
    authority: Authority, secret: str = SECRET, tenant: str = TENANT
) -> ClientSecretCredential:
    return ClientSecretCredential(
        tenant, CLIENT, secret, authority=authority.url, disable_instance_discovery=True
    )


def claims(token: str) -> dict[str, object]:
    told: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return told


def test_a_secret_gets_a_token_of_azure(authority: Authority) -> None:
    with secret_credential(authority) as credential:
        token = credential.get_token(ARM).token

    told = claims(token)
    assert (told["aud"], told["iss"]) == ("https://management.azure.com", STS)
    assert [r.method for r in authority.requests if "/token" in r.path] == ["POST"]


def test_a_federated_token_gets_one_too(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(FEDERATED)
    with WorkloadIdentityCredential(
        tenant_id=TENANT, client_id=CLIENT, token_file_path=str(tmp_path / "token"),
        authority=authority.url, disable_instance_discovery=True,
    ) as credential:  # fmt: skip
        assert credential.get_token(ARM).token.count(".") == 2


@pytest.mark.parametrize(
    ("secret", "tenant", "said"),
    [("wrong", TENANT, "AADSTS7000215"), (SECRET, "contoso", "contoso")],
)
def test_it_refuses_as_entra_does(
    authority: Authority, secret: str, tenant: str, said: str
) -> None:
    with (
        secret_credential(authority, secret, tenant) as credential,
        pytest.raises(ClientAuthenticationError, match=said),
    ):
        credential.get_token(ARM)


def test_a_pod_gets_a_token_from_its_metadata_address(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", authority.metadata_url)
    with ManagedIdentityCredential() as credential:
        assert claims(credential.get_token(ARM).token)["appid"] == CLIENT


def test_an_app_service_gets_one_from_its_endpoint(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{authority.metadata_url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "any")
    with ManagedIdentityCredential() as credential:
        assert credential.get_token(ARM).expires_on > 0
    assert authority.asked("/msi/token") == 1


@pytest.mark.parametrize("version", [1, 2])
def test_its_tokens_are_verified_by_the_published_keys_also_after_rotation(
    authority: Authority, certificates: Certificates, version: int
) -> None:
    path = "/v2.0" if version == 2 else ""
    trust = ssl.create_default_context(cafile=str(certificates.ca))
    keys = jwt.PyJWKClient(
        f"{authority.url}/{TENANT}/discovery{path}/keys", ssl_context=trust, cooldown_duration=0
    )
    for _ in range(2):
        token = authority.token("api://m", version=version, roles=["Score"])
        key = keys.get_signing_key_from_jwt(token)
        told = jwt.decode(
            token, key, ["RS256"], audience="api://m", issuer=authority.issuer(version)
        )
        assert told["roles"] == ["Score"]
        authority.rotate(keep_old=False)


def test_a_fault_comes_as_often_as_told(authority: Authority) -> None:
    authority.fail("/token", 429, headers={"Retry-After": "0"}, count=1)
    with secret_credential(authority) as credential:
        assert credential.get_token(ARM).token
    assert authority.asked("/token") == 2


def test_it_may_accept_and_never_answer(authority: Authority) -> None:
    authority.fail("/keys", hang=True)
    with pytest.raises(requests.Timeout):
        requests.get(f"{authority.url}/common/discovery/keys", timeout=0.2)
    authority.mend()
    assert requests.get(f"{authority.url}/common/discovery/keys", timeout=30).ok
