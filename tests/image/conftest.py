"""Fixtures of the tests of the images: an engine, and both images built once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.image.base import base_image
from tests.image.builds import FULL, LIMITS_MB, SLIM, Builder
from tests.image.engine import Docker, engine

_SIZES = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    with engine() as docker:
        yield docker


@pytest.fixture(scope="session")
def builder(docker: Docker) -> Builder:
    return Builder(docker, base_image(docker))


@pytest.fixture(scope="session")
def sizes_mb(builder: Builder, pytestconfig: pytest.Config) -> dict[str, float]:
    """Name of an image -> what it adds to the base."""
    builder.build(FULL)
    builder.build(SLIM, "--target=slim")
    sizes = {image: builder.grown_mb(image) for image in (FULL, SLIM)}
    pytestconfig.stash[_SIZES] = sizes
    return sizes


@pytest.fixture
def full(sizes_mb: dict[str, float]) -> str:
    return FULL


@pytest.fixture
def slim(sizes_mb: dict[str, float]) -> str:
    return SLIM


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What `make image` is asked for: the sizes, beside what they may be."""
    for image, size_mb in config.stash.get(_SIZES, {}).items():
        terminalreporter.write_line(
            f"{image}: {size_mb:.0f} MB upon its base, of {LIMITS_MB[image]} MB allowed"
        )
