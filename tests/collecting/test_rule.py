"""Which requests are collected, and what of their columns is hidden."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog import Lineup
from app.collecting.rule import Rule
from app.tensors import Signature
from tests.collecting.made import SALT, signature
from tests.test_lineup import Request

SHARES = st.floats(0, 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
)
X = np.array([1.0])


@pytest.mark.parametrize("sample", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_so_many_requests_are_collected(sample: float) -> None:
    taken = sum(Rule("", sample).takes(b"request-%d" % i) for i in range(20_000))

    assert taken / 20_000 == pytest.approx(sample, abs=0.01)


@given(st.binary(max_size=100), SHARES, SHARES)
def test_what_a_smaller_sample_takes_a_larger_one_takes_too(
    request_id: bytes, one: float, other: float
) -> None:
    small, large = sorted((one, other))

    assert Rule("", small).takes(request_id) <= Rule("", large).takes(request_id)
    assert Rule("", small).takes(request_id) == Rule("file:///other", small).takes(request_id)


def test_a_sample_is_of_all_versions_that_share_the_traffic() -> None:
    lineup, rule = Lineup(traffic={"1": 90, "2": 10}), Rule("", 0.1)
    ids = [b"request-%d" % i for i in range(20_000)]

    taken = Counter(next(lineup.order(Request(each))) for each in ids if rule.takes(each))

    assert taken["2"] / taken.total() == pytest.approx(0.1, abs=0.03)


@given(JSON, st.binary(min_size=8))
def test_a_hash_is_an_hmac_of_the_text_or_of_the_json(value: Any, salt: bytes) -> None:
    values = np.empty(1, object)
    values[0] = value

    (found,) = Rule("", salt=salt).hashed(values)

    text = value.encode() if isinstance(value, str) else orjson.dumps(value)
    expected = hmac.new(salt, text, hashlib.sha256).hexdigest()
    assert found == (None if value is None else expected)


def test_another_salt_gives_another_hash() -> None:
    values = np.array(["Ada", None, "Ada", "Grace"], object)

    ours, theirs = (Rule("", salt=salt).hashed(values) for salt in (SALT, b"another one"))

    assert ours[0] == ours[2] != ours[3]
    assert ours[1] is None
    assert not set(ours) & set(theirs) - {None}


def test_a_salt_is_not_shown() -> None:
    assert SALT.decode() not in repr(Rule("", salt=SALT))


@pytest.mark.parametrize(
    ("rule", "doubt"),
    [
        (Rule("", drop=frozenset({"x", "y"})), None),
        (Rule("", drop=frozenset({"label"})), None),
        (Rule("", drop=frozenset({"z"}), hash=frozenset({"a"})), "takes nor gives: a, z"),
    ],
)
def test_columns_that_a_model_does_not_have_are_told(rule: Rule, doubt: str | None) -> None:
    told = list(rule.doubts(signature({"x": X}, {"y": X}, label="y")))

    assert [doubt in each for each in told if doubt] == ([True] if doubt else [])
    assert bool(told) == bool(doubt)


def test_a_script_has_no_columns_to_hide() -> None:
    script = Signature((), (), kind="raw")

    assert list(Rule("").doubts(script)) == []
    (told,) = Rule("", drop=frozenset({"x"})).doubts(script)
    assert "nothing of it is collected" in told
