"""An issuer's keys: how often they are fetched, and what holds when they cannot be."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from typing import Any

import pytest

from app.auth.issuers import Issuer
from app.auth.tokens import Tokens
from app.errors import IssuerUnavailable, Unauthenticated
from tests.azure.authority import TENANT, Authority

AUDIENCE = "api://models"
CONFIGURATION = "openid-configuration"


def tokens(authority: Authority, **more: Any) -> Tokens:
    return Tokens([authority.issuer()], [AUDIENCE], **more)


async def caller(verifier: Tokens, token: str) -> str:
    return await verifier.verify(token.encode(), token.encode())


def bogus(authority: Authority, key_id: str) -> str:
    return authority.sign({"iss": authority.issuer()}, {"kid": key_id})


async def fetched(authority: Authority, times: int) -> None:
    """Wait until the keys were asked for so often."""
    while authority.asked("/keys") < times:  # noqa: ASYNC110 - threads ask
        await asyncio.sleep(0.01)


async def test_keys_are_fetched_at_the_start_and_not_for_each_token(authority: Authority) -> None:
    verifier = tokens(authority)
    verifier.start()
    await fetched(authority, 1)
    for _ in range(5):
        assert await caller(verifier, authority.token())
    verifier.close()
    assert authority.asked("/keys") == 1


async def test_unknown_key_ids_cause_one_fetch_until_the_cooldown_ends(
    authority: Authority,
) -> None:
    verifier = tokens(authority)
    assert await caller(verifier, authority.token())
    for number in range(50):
        with pytest.raises(Unauthenticated, match="does not publish"):
            await caller(verifier, bogus(authority, f"bogus-{number}"))
    assert authority.asked("/keys") == 1

    several = [bogus(authority, f"late-{n}") for n in range(20)]
    eager = tokens(authority)
    told = await asyncio.gather(*(caller(eager, t) for t in several), return_exceptions=True)
    assert all(isinstance(error, Unauthenticated) for error in told)
    assert authority.asked("/keys") == 2


async def test_a_new_key_is_found_and_a_withdrawn_one_counts_no_more(
    authority: Authority,
) -> None:
    verifier = tokens(authority, cooldown_s=0)
    old = authority.token()
    assert await caller(verifier, old)
    authority.rotate()
    both = authority.token()
    assert await caller(verifier, both)
    assert await caller(verifier, old)
    authority.rotate(keep_old=False)
    assert await caller(verifier, authority.token())
    for token in (old, both):
        with pytest.raises(Unauthenticated, match="does not publish"):
            await caller(verifier, token)


async def test_an_issuer_that_is_down_is_a_503_and_is_asked_again(authority: Authority) -> None:
    verifier = tokens(authority, retry_s=0)
    for part in ("/keys", CONFIGURATION):
        authority.fail(part)
        with pytest.raises(IssuerUnavailable) as caught:
            await caller(verifier, authority.token())
        assert caught.value.status == 503
        assert caught.value.retry_after_s == 0
    authority.mend()
    assert await caller(verifier, authority.token())


async def test_the_background_asks_until_an_issuer_is_back(authority: Authority) -> None:
    authority.fail("/keys", count=2)
    verifier = tokens(authority, retry_s=0.01)
    verifier.start()
    await fetched(authority, 3)
    assert await caller(verifier, authority.token())
    verifier.close()
    assert authority.asked("/keys") == 3


async def test_while_an_issuer_is_down_it_is_asked_once_in_a_while(authority: Authority) -> None:
    authority.fail("/keys")
    verifier = tokens(authority)
    for _ in range(20):
        with pytest.raises(IssuerUnavailable):
            await caller(verifier, authority.token())
    assert authority.asked("/keys") == 1


async def test_keys_stay_when_they_cannot_be_fetched_again(authority: Authority) -> None:
    verifier = tokens(authority, cooldown_s=0, retry_s=0)
    old = authority.token()
    assert await caller(verifier, old)
    authority.rotate()
    authority.fail("/keys")
    with pytest.raises(IssuerUnavailable):  # it may be of a key that is new
        await caller(verifier, authority.token())
    assert await caller(verifier, old)


async def test_an_issuer_that_never_answers_holds_nobody_but_its_own_callers(
    authority: Authority,
) -> None:
    authority.fail("/keys", hang=True)
    issuer = Issuer(authority.issuer(), lambda: None, timeout_s=0.3)
    waiting = asyncio.create_task(issuer.find("any"))
    turns = 0
    while not waiting.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    assert all(one.daemon for one in threading.enumerate() if one.name == "issuer")
    with pytest.raises(IssuerUnavailable):
        await waiting


async def test_who_leaves_does_not_stop_the_fetch(authority: Authority) -> None:
    verifier = tokens(authority)
    leaving = asyncio.create_task(caller(verifier, authority.token()))
    staying = asyncio.create_task(caller(verifier, authority.token()))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying
    assert authority.asked("/keys") == 1


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (200, {"issuer": "https://other.test/"}, {}, "another issuer"),
        (200, {"jwks_uri": "http://localhost/keys"}, {}, "published over https"),
        (200, {"jwks_uri": "file:///etc/passwd"}, {}, "published over https"),
        (200, {"jwks_uri": 5}, {}, "published over https"),
        (200, {"issuer": None}, {}, "KeyError|another issuer"),
        (302, {}, {"Location": "/elsewhere"}, "302"),
        (404, {}, {}, "404"),
    ],
)
async def test_a_configuration_that_is_not_the_issuers_own_is_not_followed(
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: dict[str, object],
    headers: dict[str, str],
    said: str,
) -> None:
    told = {"issuer": authority.issuer(), "jwks_uri": f"{authority.url}/{TENANT}/x", **body}
    authority.fail(CONFIGURATION, status, body=told, headers=headers)
    verifier = tokens(authority, retry_s=0)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(IssuerUnavailable):
                await caller(verifier, authority.token())
    (record,) = caplog.records
    assert "cannot be fetched" in record.message
    assert any(word in record.message for word in said.split("|"))
    gc.collect()  # what was left open is warned about


async def test_an_issuer_is_not_asked_without_tls(authority: Authority) -> None:
    with pytest.raises(IssuerUnavailable):
        await Issuer(f"{authority.metadata_url}/{TENANT}/", lambda: None).find("any")
    assert authority.requests == []


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"}],
        [{"kty": "RSA", "kid": "k", "n": "?", "e": "?"}],
        "none",
        None,
    ],
)
async def test_keys_that_are_none_are_not_taken(authority: Authority, keys: object) -> None:
    authority.fail("/keys", 200, body={"keys": keys})
    with pytest.raises((IssuerUnavailable, Unauthenticated)):
        await caller(tokens(authority), bogus(authority, "k"))
