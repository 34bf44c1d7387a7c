"""One server over the sample models for the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.server import Server, serving


@pytest.fixture(scope="session")
def samples() -> Iterator[Server]:
    with serving() as server:
        yield server
