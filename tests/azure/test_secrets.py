"""No log line at any level, and no answer, shows a secret, a signature or a token."""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from app.telemetry.logs import configure
from tests.azure.authority import SECRET
from tests.azure.certificates import write_certificates
from tests.azure.control_plane import CONTAINER, REGISTRY, REGISTRY_CONTAINER
from tests.azure.fixtures import OLDER, Azure
from tests.azure.gateway import Gateway
from tests.azure.proxy import Proxy
from tests.azure.storage import KEY, Storage
from tests.server import CLAIM, CUSTOMERS, SAMPLES, Server, serving

PATHS = ["/", "/livez", "/readyz?verbose", "/healthcheck", "/metrics", "/openapi.json", "/docs",
         "/score", "/score/churn", "/score/nobody", "/nowhere"]  # fmt: skip
_TOKEN = re.compile(r"eyJ[\w-]{10,}|[Bb]earer +[\w-]{20,}|SharedKey \S+:\S+")
_SIGNATURE = re.compile(r"sig=(?!\*|REDACTED)[^&\s\"']{6,}")


@pytest.fixture
def models(azure: Azure) -> Azure:
    """The model `churn` in the workspace, in the registry, and in a container."""
    for container in (CONTAINER, REGISTRY_CONTAINER, "models"):
        azure.storage.put_folder(container, "secrets/churn/2", SAMPLES / CLAIM / "1")
    for place in ("workspace", "registry"):
        azure.plane.register("churn", "2", "secrets/churn/2", place=place)
    return azure


def some(kinds: Iterable[str], count: int) -> list[Any]:
    """The first of them always, the rest by `make test-long`."""
    named = list(kinds)
    rest = [pytest.param(kind, marks=pytest.mark.long) for kind in named[count:]]
    return [*named[:count], *rest]


def by_signature(azure: Azure) -> dict[str, str]:
    azure.plane.credentials = "Sas"
    sas = azure.storage.sas(CONTAINER)
    azure.plane.secret = lambda: {"secretsType": "Sas", "sasToken": sas}
    return {"SERVE_REGISTRY": "azureml://workspace"}


def by_sdk(azure: Azure) -> dict[str, str]:
    return {**by_signature(azure), "SERVE_AZUREML_CLIENT": "sdk"}


def in_url(azure: Azure, storage: Storage | None = None) -> dict[str, str]:
    url = f"{(storage or azure.storage).url}/models/secrets"
    return {"SERVE_REGISTRY": f"{url}?{azure.storage.sas('models')}", "SERVE_MODELS": "churn"}


KINDS: dict[str, Callable[[Azure], dict[str, str]]] = {
    "workspace, key": lambda _: {"SERVE_REGISTRY": "azureml://workspace"},
    "workspace, signature, sdk": by_sdk,
    "container, signature": in_url,
    "wrong secret": lambda _: {"SERVE_REGISTRY": "azureml://workspace", "CLIENT_SECRET": "bad~one"},
    "workspace, signature": by_signature,
    "registry, signature": lambda _: {"SERVE_REGISTRY": f"azureml://registries/{REGISTRY}"},
    "container, key": lambda azure: {
        "SERVE_REGISTRY": f"{azure.storage.url}/models/secrets", "AZURE_STORAGE_KEY": KEY,
    },
    "container, signature beside": lambda azure: {
        "SERVE_REGISTRY": f"{azure.storage.url}/models/secrets",
        "AZURE_STORAGE_SAS_TOKEN": azure.storage.sas("models"),
    },
}  # fmt: skip


def told(server: Server) -> str:
    """All that a server has said to anybody."""
    answers = [server.get(path).text for path in PATHS]
    for body in ({"data": CUSTOMERS[0]}, {"data": 5}, None):
        answers.append(server.post("/score/churn", json=body).text)
    server.stop()
    return "\n".join([*answers, server.log()])


def check(text: str, *secrets: str) -> None:
    for secret in (SECRET, KEY, "bad~one", *secrets):
        for form in {secret, quote(secret, safe=""), unquote(secret)}:
            assert form not in text
    assert not _TOKEN.findall(text)
    assert not _SIGNATURE.findall(text)


@pytest.mark.parametrize("kind", some(KINDS, 4))
def test_a_server_never_tells_a_secret_signature_or_token(models: Azure, kind: str) -> None:
    settings = {"SERVE_MODELS": "churn", **KINDS[kind](models)}
    given = {**models.environment(), **OLDER, **settings, "SERVE_LOG_LEVEL": "debug"}
    with serving("/livez", **given) as server:
        server.wait_for("/readyz", 503 if kind == "wrong secret" else 200)
        text = told(server)

    assert '"level":"debug"' in text
    assert ("AADSTS7000215" in text) == (kind == "wrong secret")
    check(text)


@pytest.fixture(params=some(("cut", "403", "tls", "refused", "no xml", "dns"), 2))
def broken(request: pytest.FixtureRequest, models: Azure, tmp_path: Path) -> Iterator[Any]:
    """Settings of a server whose container, with a signature in its URL, fails so."""
    with Proxy(models.storage.port) as proxy, Gateway(models.certificates, models.storage) as gate:
        proxy.cut_after, proxy.refuses = 4_000, request.param == "refused"
        settings = in_url(models, Storage(proxy.port))
        if request.param in ("403", "no xml"):
            settings = in_url(models, gate.storage)
            gate.fail("", 403 if request.param == "403" else 200, code="<oops")
        elif request.param == "dns":
            settings = {k: v.replace("mlstore.", "nowhere.") for k, v in settings.items()}
        elif request.param == "tls":
            other = write_certificates(tmp_path)
            settings |= other.environment()
        yield settings


def test_a_failure_never_tells_the_signature_of_the_address(models: Azure, broken: Any) -> None:
    given = {**models.environment(), **OLDER, **broken, "SERVE_LOG_LEVEL": "debug"}
    with serving("/livez", **given) as server:
        until = time.monotonic() + 30
        while "next try" not in server.log() and time.monotonic() < until:
            time.sleep(0.1)
        text = told(server)

    assert "next try" in text
    check(text, *re.findall(r"sig=([^&]+)", broken["SERVE_REGISTRY"]))


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_what_a_library_says_of_an_address_is_logged_without_its_signature(log_format: str) -> None:
    stream = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    configure("debug", log_format, stream)
    try:
        try:
            raise OSError("GET https://a.test/c/b?se=1&sig=aB%2Fc123456%3D&sp=r: Max retries")
        except OSError as error:
            logging.getLogger("other").exception(
                "Authorization: Bearer eyJhbGciOi.J9x.y: %s", error
            )
        logging.getLogger("other").info("AccountKey=%s;", KEY, extra={"at": "x?sig=aB%2Fc123456"})
    finally:
        logging.getLogger().handlers[:], _ = before
        logging.getLogger().setLevel(before[1])

    text = stream.getvalue()
    assert "Max retries" in text
    assert "aB%2Fc12" not in text
    assert "eyJ" not in text
    assert KEY not in text
