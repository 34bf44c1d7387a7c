"""API keys: which are taken, from where, and that neither answers, logs nor times tell them."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from app.auth import Auth
from app.errors import Unauthenticated

KEYS = ("first-key", "second-key-which-is-longer")


def bearer(key: str | bytes) -> Mapping[bytes, bytes]:
    return {b"authorization": b"Bearer " + (key.encode() if isinstance(key, str) else key)}


def api_key(key: str | bytes) -> Mapping[bytes, bytes]:
    return {b"x-api-key": key.encode() if isinstance(key, str) else key}


async def test_without_keys_all_may_call() -> None:
    auth = Auth([], None)

    assert auth.is_open
    assert await auth.verify({}) is None
    assert auth.knows({})


@pytest.mark.parametrize("header", [bearer, api_key])
@pytest.mark.parametrize(("key", "caller"), [(KEYS[0], "key-1"), (KEYS[1], "key-2")])
async def test_each_key_is_taken_in_either_header_and_named_without_it(
    header: Callable[[str], Mapping[bytes, bytes]], key: str, caller: str
) -> None:
    assert await Auth(KEYS, None).verify(header(key)) == caller


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer   "},
        {b"authorization": b"first-key"},
        {b"authorization": b"Basic first-key"},
        {b"x-api-key": b""},
        bearer("wrong"),
        bearer("first-ke"),
        bearer("first-key-"),
        bearer("FIRST-KEY"),
        api_key(b"\xff\x00\xc3\xa9"),
        api_key("first-key,second-key-which-is-longer"),
    ],
)
async def test_no_and_wrong_credentials_are_refused(headers: Mapping[bytes, bytes]) -> None:
    auth = Auth(KEYS, None)

    with pytest.raises(Unauthenticated) as caught:
        await auth.verify(headers)

    assert caught.value.status == 401
    assert "first-key" not in str(caught.value)
    assert not auth.knows(headers)


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER   "])
async def test_the_scheme_is_read_in_any_case(scheme: bytes) -> None:
    assert await Auth(KEYS, None).verify({b"authorization": scheme + b"first-key "}) == "key-1"


async def test_a_key_counts_also_beside_a_token_that_a_gateway_added() -> None:
    assert await Auth(KEYS, None).verify({**bearer("a.b.c"), **api_key("first-key")}) == "key-1"


@pytest.mark.parametrize("key", ["schlüssel", "鍵", "clé-\udcff"])
async def test_a_key_may_have_any_characters(key: str) -> None:
    credential = key.encode("utf-8", "surrogateescape")

    assert await Auth([key], None).verify(bearer(credential)) == "key-1"


async def test_an_empty_key_neither_opens_the_door_nor_matches_an_empty_credential() -> None:
    auth = Auth([""], None)

    assert not auth.is_open
    with pytest.raises(Unauthenticated):
        await auth.verify(api_key(""))


@pytest.mark.parametrize("given", ["first-key", "second-key-which-is-longer", "x", "x" * 1000])
def test_every_key_is_compared_and_at_one_length(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    Auth(KEYS, None).knows(bearer(given))

    assert compared == [(32, 32)] * 2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text("one, two\n\nthree\n")
    return file


async def test_the_keys_of_the_file_come_after_those_of_the_settings(file: Path) -> None:
    auth = Auth(["zero"], file)

    callers = [await auth.verify(bearer(key)) for key in ("zero", "one", "two", "three")]
    assert callers == ["key-1", "key-2", "key-3", "key-4"]


def test_the_file_is_read_again_when_it_changes(file: Path) -> None:
    auth = Auth([], file, look_s=0)
    file.write_text("four")

    assert auth.knows(bearer("four"))
    assert not auth.knows(bearer("one"))


def test_the_file_is_looked_at_once_a_second_not_at_each_request(file: Path) -> None:
    auth = Auth([], file)
    file.write_text("four")

    assert auth.knows(bearer("one"))


def test_keys_stay_when_the_file_vanishes_and_that_is_logged_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    auth = Auth([], file, look_s=0)
    file.unlink()

    assert all(auth.knows(bearer("one")) for _ in range(3))
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    file.write_text("four")
    assert auth.knows(bearer("four"))


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfone\r\ntwo\r\n", b"one\xff"])
def test_a_file_written_on_windows_or_in_no_encoding_is_read(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    assert Auth([], file).knows(bearer(content.removeprefix(b"\xef\xbb\xbf").split()[0]))


def test_a_file_that_is_missing_or_empty_locks_everyone_out(tmp_path: Path) -> None:
    for file in (tmp_path / "none", tmp_path / "empty"):
        if file.name == "empty":
            file.touch()
        auth = Auth([], file)

        assert not auth.is_open
        assert not auth.knows(api_key(""))


def test_keys_are_neither_logged_nor_kept(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    auth = Auth(KEYS, file, look_s=0)
    for key in ("one", "wrong-key"):
        auth.knows(bearer(key))
    file.write_bytes(b"\xff")
    auth.knows(bearer("one"))

    told = caplog.text + repr(vars(auth)) + repr(vars(auth._keys))
    assert [key for key in (*KEYS, "two", "three", "wrong-key") if key in told] == []
