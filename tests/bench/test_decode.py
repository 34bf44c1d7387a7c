"""`bench.decode`: what it measures gives the same both ways."""

import orjson
import pytest

from app.schema import Schema
from bench.decode import cases, slowly
from tests.bodies import told

CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_each_case_is_read_by_a_quick_way_as_by_the_slow_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema, document = CASES[name]
    body = orjson.dumps(document)
    wanted = told(lambda: slowly(schema, body))
    monkeypatch.delattr(Schema, "decode")  # which the slow way needs
    assert told(lambda: schema.read(body)) == wanted
