"""An issuer of tokens, over TLS that this process trusts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.azure.authority import Authority
from tests.azure.certificates import Certificates, write_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def authority(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    for name, value in certificates.environment().items():
        monkeypatch.setenv(name, value)
    with Authority(certificates) as running:
        yield running
