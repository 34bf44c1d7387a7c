"""Tokens of an issuer: which are taken, and what is said of the others."""

from __future__ import annotations

import base64
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth import Auth, tokens
from app.auth.tokens import Tokens
from app.errors import Forbidden, Unauthenticated
from tests.azure.authority import CLIENT, Authority

AUDIENCES = ("api://models", "22222222-0000-4000-8000-000000000a0d")


def auth(authority: Authority, *roles: str, keys: tuple[str, ...] = (), **more: Any) -> Auth:
    issuers = (authority.issuer(1), authority.issuer(2))
    return Auth(keys, None, Tokens(issuers, AUDIENCES, roles, **more))


def bearer(token: str | bytes) -> Mapping[bytes, bytes]:
    return {b"authorization": b"Bearer " + (token.encode() if isinstance(token, str) else token)}


def part(content: object) -> bytes:
    raw = content if isinstance(content, bytes) else orjson.dumps(content)
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def claims(authority: Authority, **more: object) -> dict[str, object]:
    told = jwt.decode(authority.token(), options={"verify_signature": False})
    return {name: value for name, value in {**told, **more}.items() if value is not None}


def signed_with_public_key(authority: Authority) -> bytes:
    """What a verifier takes that lets the token choose how its signature is read."""
    kid = jwt.get_unverified_header(authority.token())["kid"]
    body = part({"alg": "HS256", "kid": kid}) + b"." + part(claims(authority))
    return body + b"." + part(hmac.digest(authority.public_key(), body, "sha256"))


def unsigned(authority: Authority) -> bytes:
    return part({"alg": "none"}) + b"." + part(claims(authority)) + b"."


def changed(authority: Authority) -> str:
    head, _, signature = authority.token(aud="api://other").split(".")
    return f"{head}.{part(claims(authority)).decode()}.{signature}"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("audience", [*AUDIENCES, ["api://other", AUDIENCES[0]]])
async def test_a_token_of_either_version_for_any_audience_is_taken(
    authority: Authority, version: int, audience: Any
) -> None:
    token = authority.token(audience, version=version)

    assert await auth(authority).verify(bearer(token)) == f"token-{CLIENT}"


REFUSED: Mapping[str, tuple[Callable[[Authority], str | bytes], str]] = {
    "unsigned": (unsigned, "RS256"),
    "signed with the public key": (signed_with_public_key, "RS256"),
    "changed": (changed, "signature is wrong"),
    "expired": (lambda a: a.token(lifetime_s=-61), "has expired"),
    "early": (lambda a: a.token(nbf=int(time.time()) + 600), "not valid yet"),
    "of tomorrow": (lambda a: a.token(iat=int(time.time()) + 600), "not valid yet"),
    "audience": (lambda a: a.token("api://other"), "another audience"),
    "issuer": (lambda a: a.token(iss="https://sts.windows.net/x/"), "another issuer"),
    "issuer in capitals": (lambda a: a.token(iss=a.issuer().upper()), "another issuer"),
    "issuers": (lambda a: a.sign(claims(a, iss=[a.issuer()])), "another issuer"),
    "no iss": (lambda a: a.sign(claims(a, iss=None)), "another issuer"),
    "no exp": (lambda a: a.sign(claims(a, exp=None)), "no exp"),
    "no iat": (lambda a: a.sign(claims(a, iat=None)), "no iat"),
    "no aud": (lambda a: a.sign(claims(a, aud=None)), "no aud"),
    "exp is a word": (lambda a: a.sign(claims(a, exp="soon")), "not valid"),
    "exp is a list": (lambda a: a.sign(claims(a, exp=[1])), "not valid"),
    "exp is infinite": (lambda a: a.sign(claims(a, exp=float("inf"))), "not valid"),
    "no kid": (lambda a: a.sign(claims(a), {"kid": None}), "which key"),
    "unknown kid": (lambda a: a.sign(claims(a), {"kid": "bogus"}), "does not publish"),
    "no JSON": (lambda a: b"a.b.c", "neither"),
    "empty": (lambda a: b"..", "neither"),
    "deep": (lambda a: part(b"[" * 60_000) + b".e30.e30", "neither"),
    "deep claims": (
        lambda a: part({"alg": "RS256"}) + b"." + part(b"[" * 60_000) + b".",
        "neither",
    ),
    "a long number": (
        lambda a: part({"alg": "RS256"}) + b"." + part(b"9" * 9999) + b".",
        "neither",
    ),
    "a surrogate": (
        lambda a: part(b'{"alg":"RS256","kid":"\\ud800"}') + b".e30.",
        "another issuer",
    ),
    "a list": (lambda a: part({"alg": "RS256", "kid": "k"}) + b"." + part([1]) + b".", "neither"),
    "no text": (lambda a: b"\xff\x00.\xff.\xff", "neither"),
    "one part": (lambda a: b"not-a-token", "not known"),
    "four parts": (lambda a: b"four.parts.of.it", "not known"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_wrong_with_a_token_is_said(authority: Authority, what: str) -> None:
    made, said = REFUSED[what]
    given = made(authority)
    for known in (auth(authority), auth(authority, "Score")):
        with pytest.raises(Unauthenticated, match=said) as caught:
            await known.verify(bearer(given))

        assert caught.value.status == 401
        assert not known.knows(bearer(given))


@pytest.mark.parametrize("lifetime_s", [-30, 1e12])
async def test_clocks_may_differ_and_a_token_may_live_long(
    authority: Authority, lifetime_s: float
) -> None:
    late = int(time.time()) + 30
    token = authority.token(lifetime_s=lifetime_s, nbf=late, iat=late)

    assert await auth(authority).verify(bearer(token))


@pytest.mark.parametrize(
    ("claims", "may"),
    [
        ({"roles": ["Score"]}, True),
        ({"roles": ["Other", "Models.Score"]}, True),
        ({"scp": "openid Models.Score"}, True),
        ({"scp": "Score", "roles": ["Other"]}, True),
        ({"roles": ["score"]}, False),
        ({"roles": []}, False),
        ({"roles": [["Score"], None]}, False),
        ({"roles": "Score"}, False),
        ({"scp": ["Score"]}, False),
        ({"scp": "Score.All Models"}, False),
        ({}, False),
    ],
)
async def test_an_app_role_or_a_scope_is_needed_when_some_are_set(
    authority: Authority, claims: dict[str, Any], may: bool
) -> None:
    known = auth(authority, "Score", "Models.Score")
    shown = bearer(authority.token(**claims))
    if may:
        assert await known.verify(shown)
    else:
        with pytest.raises(Forbidden) as caught:
            await known.verify(shown)
        assert caught.value.status == 403
    assert known.knows(shown) == may
    assert await auth(authority).verify(shown)


@pytest.mark.parametrize(
    ("claims", "caller"),
    [
        ({"azp": "a", "appid": "b", "oid": "c"}, "a"),
        ({"azp": None, "appid": "b", "oid": "c"}, "b"),
        ({"azp": None, "oid": "c"}, "c"),
        ({"azp": ["a"], "sub": "d"}, "d"),
        ({"azp": None, "sub": None}, ""),
    ],
)
async def test_the_caller_is_the_application_or_else_the_subject(
    authority: Authority, claims: dict[str, Any], caller: str
) -> None:
    assert await auth(authority).verify(bearer(authority.token(**claims))) == f"token-{caller}"


async def test_keys_are_taken_beside_tokens_and_in_either_header(authority: Authority) -> None:
    known = auth(authority, keys=("one", "a.dotted.key"))
    token = authority.token().encode()

    assert not known.is_open
    assert await known.verify(bearer("one")) == "key-1"
    assert await known.verify(bearer("a.dotted.key")) == "key-2"
    assert await known.verify({**bearer(token), b"x-api-key": b"one"}) == "key-1"
    assert await known.verify({b"x-api-key": token}) == f"token-{CLIENT}"
    with pytest.raises(Unauthenticated, match="a token or a key is needed"):
        await known.verify({})


async def test_a_token_is_verified_once_until_it_expires(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    real = jwt.decode

    def decode(*arguments: Any, **more: Any) -> dict[str, Any]:
        decoded.append(arguments)
        return real(*arguments, **more)

    monkeypatch.setattr(jwt, "decode", decode)
    known, shown = auth(authority), bearer(authority.token(lifetime_s=600))

    assert await known.verify(shown) == await known.verify(shown) == f"token-{CLIENT}"
    assert known.knows(shown)
    assert len(decoded) == 1
    later = time.time() + 600 + tokens.LEEWAY_S
    monkeypatch.setattr(time, "time", lambda: later)
    await known.verify(shown)
    assert len(decoded) == 2


async def test_of_verified_tokens_a_bounded_number_is_remembered(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_REMEMBERED", 2)
    verifier = Tokens([authority.issuer()], AUDIENCES, ["Score"])
    known = Auth([], None, verifier)
    for _ in range(3):
        assert await known.verify(bearer(authority.token(roles=["Score"])))
        assert not known.knows(bearer(authority.token(roles=["Other"])))
    assert len(verifier._verified) == 2


async def test_no_token_is_logged_told_or_kept(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    verifier = Tokens([authority.issuer()], AUDIENCES)
    known = Auth([], None, verifier)
    shown = [authority.token(), authority.token("api://other"), changed(authority)]
    said = []
    for token in shown:
        try:
            await known.verify(bearer(token))
        except Unauthenticated as error:
            said.append(error.message)
    assert len(said) == 2
    told = caplog.text + str(said) + repr(vars(verifier))
    assert not any(piece in told for token in shown for piece in token.split(".")[1:])


@given(st.lists(st.binary(max_size=60), min_size=3, max_size=3), st.booleans())
def test_whatever_has_three_parts_is_refused_in_words(parts: list[bytes], encode: bool) -> None:
    verifier = Tokens(["https://issuer.test/"], AUDIENCES)
    token = b".".join(part(one) if encode else one.replace(b".", b"") for one in parts)

    with pytest.raises(Unauthenticated):
        verifier.check(token, b"")
