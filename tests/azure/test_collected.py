"""Lines in append blobs: of a server, and of a container that is changed or closed meanwhile."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from app.azure.appends import AppendedBlobs
from app.collecting import open_target
from app.errors import RegistryUnavailable
from tests.azure.fixtures import OLDER, Azure
from tests.azure.gateway import Gateway
from tests.azure.storage import ACCOUNT, KEY
from tests.server import CUSTOMERS, serving

OpenTarget = Callable[[str], AppendedBlobs]


@pytest.fixture
def container(azure: Azure) -> str:
    """One that no other test has."""
    name = f"c-{uuid.uuid4().hex[:8]}"
    azure.storage.container(name)
    return name


@pytest.fixture
def open_at(azure: Azure) -> Iterator[OpenTarget]:
    opened = []
    access = azure.access(storage_key=KEY)

    def open_at(url: str) -> AppendedBlobs:
        target = open_target(url, access, "auto")
        assert isinstance(target, AppendedBlobs)
        opened.append(target)
        return target

    yield open_at
    for target in opened:
        target.close()
    access.close()


def blobs(azure: Azure, container: str) -> dict[str, bytes]:
    client = azure.storage.container(container)
    return {name: client.download_blob(name).readall() for name in client.list_blob_names()}


def signature(container: str, permission: ContainerSasPermissions) -> str:
    expiry = datetime.now(UTC) + timedelta(hours=1)
    return generate_container_sas(ACCOUNT, container, KEY, permission=permission, expiry=expiry)


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "way", ["identity", pytest.param("key", marks=LONG), pytest.param("signature", marks=LONG)]
)
def test_a_server_collects_into_a_container(
    azure: Azure, container: str, tmp_path: Path, way: str
) -> None:
    url = f"{azure.storage.url}/{container}/production"
    if way == "signature":
        url += f"?{signature(container, ContainerSasPermissions(create=True, add=True))}"
    config = tmp_path / "serve.yaml"
    config.write_text(json.dumps({"models": [{"name": "churn", "collect": {"to": url}}]}))
    key = {"AZURE_STORAGE_KEY": KEY} if way == "key" else {}
    given = {**azure.environment(), **OLDER, **key, "SERVE_CONFIG": str(config)}
    with serving(**given) as server:
        for _ in range(2):
            server.score("churn", CUSTOMERS[0])
        written = 'model_collected_total{model="churn",outcome="written",version="2"} 2.0'
        server.wait_until(lambda: written in server.get("/metrics").text)
        server.score("churn", CUSTOMERS[0])
        assert server.stop() == 0

    ((name, lines),) = blobs(azure, container).items()
    assert name.startswith("production/churn/2/20")
    assert [orjson.loads(line)["model"] for line in lines.splitlines()] == ["churn"] * 3
    assert "sig=" not in server.log()


def test_lines_follow_each_other(azure: Azure, container: str, open_at: OpenTarget) -> None:
    target = open_at(f"{azure.storage.url}/{container}")

    for text in (b"1\n", b"2\n3\n"):
        target.append("m/1/a.jsonl", text)
    open_at(f"{azure.storage.url}/{container}").append("m/1/a.jsonl", b"4\n")

    assert blobs(azure, container) == {"m/1/a.jsonl": b"1\n2\n3\n4\n"}


def test_a_blob_that_was_deleted_is_made_again(
    azure: Azure, container: str, open_at: OpenTarget
) -> None:
    target = open_at(f"{azure.storage.url}/{container}/p")
    target.append("a", b"1\n")
    azure.storage.container(container).delete_blob("p/a")

    target.append("a", b"2\n")

    assert blobs(azure, container) == {"p/a": b"2\n"}


def test_a_container_that_is_not_there_is_told(azure: Azure, open_at: OpenTarget) -> None:
    with pytest.raises(RegistryUnavailable, match="there is no such container"):
        open_at(f"{azure.storage.url}/nowhere-to-be-found").append("a", b"1\n")


def test_a_refusal_names_what_writing_needs(
    azure: Azure, container: str, open_at: OpenTarget
) -> None:
    query = signature(container, ContainerSasPermissions(read=True, list=True))

    with pytest.raises(RegistryUnavailable, match="Storage Blob Data Contributor") as caught:
        open_at(f"{azure.storage.url}/{container}?{query}").append("a", b"1\n")

    assert "sig=" not in str(caught.value)


def test_an_answer_that_was_lost_loses_no_line(
    azure: Azure, container: str, open_at: OpenTarget
) -> None:
    with Gateway(azure.certificates, azure.storage) as gateway:
        gateway.fail("comp=appendblock", 500, code="InternalError", count=1)
        target = open_at(f"{gateway.storage.url}/{container}")
        target.append("a", b"1\n")
        target.close()

    assert blobs(azure, container) == {"a": b"1\n"}
