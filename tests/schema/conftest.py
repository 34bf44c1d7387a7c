"""What tests of the quick ways share."""

import pytest

from app.schema import Schema


class Slow(Exception):
    """The slow way was taken."""


@pytest.fixture
def no_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Slow

    monkeypatch.setattr(Schema, "decode", refuse)
