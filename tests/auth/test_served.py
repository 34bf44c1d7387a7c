"""Tokens as clients show them: a real server, and an issuer over TLS that it is told to trust."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.azure.authority import Authority
from tests.azure.certificates import Certificates
from tests.server import CLAIM, ROOT, START_S, Server, serving

AUDIENCE = "api://models"
OTHER = "22222222-0000-4000-8000-000000000a0d"
ROLE: dict[str, Any] = {"roles": ["Models.Score"]}


def settings(authority: Authority, certificates: Certificates) -> dict[str, str]:
    return {
        "SERVE_JWT_ISSUER": f"{authority.issuer(1)}, {authority.issuer(2)}",
        "SERVE_JWT_AUDIENCE": f"{AUDIENCE},{OTHER}",
        "SERVE_JWT_ROLES": "Models.Score",
        "SERVE_API_KEYS": "first",
        "SERVE_METRICS_OPEN": "false",
        "SERVE_CLIENT_MAX_IN_FLIGHT": "1",
        "SERVE_LOG_LEVEL": "debug",
        **certificates.environment(),
    }


@pytest.fixture(scope="module")
def issuing(certificates: Certificates) -> Iterator[Authority]:
    with Authority(certificates) as running:
        yield running


@pytest.fixture(scope="module")
def server(issuing: Authority, certificates: Certificates) -> Iterator[Server]:
    with serving("/readyz", **settings(issuing, certificates)) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def score(server: Server, headers: dict[str, str]) -> requests.Response:
    return server.post(f"/score/{CLAIM}", json={"data": "fire"}, headers=headers)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("audience", [AUDIENCE, OTHER])
@pytest.mark.parametrize("claims", [ROLE, {"scp": "openid Models.Score"}], ids=["roles", "scp"])
def test_tokens_of_applications_and_of_users_score(
    server: Server, issuing: Authority, version: int, audience: str, claims: dict[str, Any]
) -> None:
    token = issuing.token(audience, version=version, **claims)
    assert score(server, bearer(token)).status_code == 200


def test_a_token_opens_what_a_key_opens(server: Server, issuing: Authority) -> None:
    for headers in (bearer(issuing.token(**ROLE)), {"x-api-key": "first"}):
        for path in ("/readyz?verbose", "/metrics", "/score"):
            assert server.get(path, headers=headers).status_code == 200
        assert "Models" in server.get("/healthcheck", headers=headers).json()
        assert f"/score/{CLAIM}" in server.get("/openapi.json", headers=headers).json()["paths"]


def test_what_is_open_is_what_the_docs_say(server: Server) -> None:
    told = (ROOT / "docs" / "security.md").read_text()
    is_open = set(re.findall(r"^\| `(/\S*)` \|", told, re.MULTILINE)) - {"/metrics"}
    routes = {"/docs", "/openapi.json", "/metrics", f"/score/{CLAIM}", f"/score/{CLAIM}/versions/1"}
    routes |= set(server.get("/openapi.json").json()["paths"])
    assert is_open <= routes
    admins = {route for route in routes if route.startswith("/admin/")}
    for route in admins:  # another key, and none is configured here
        answers = (server.post(route), server.session.put(server.url + route, json={}))
        assert {answer.status_code for answer in answers} == {403, 405}
    routes -= admins
    statuses = {route: server.get(route).status_code for route in routes}
    assert statuses == {route: 200 if route in is_open else 401 for route in routes}


BAD: list[tuple[str, Callable[[Authority], str], int, str]] = [
    ("expired", lambda a: a.token(lifetime_s=-600, **ROLE), 401, "expired"),
    ("early", lambda a: a.token(nbf=int(time.time()) + 900, **ROLE), 401, "not valid yet"),
    ("audience", lambda a: a.token("api://other", **ROLE), 401, "another audience"),
    ("issuer", lambda a: a.token(iss="https://sts.windows.net/x/", **ROLE), 401, "another issuer"),
    ("key", lambda a: a.sign({"iss": a.issuer()}, {"kid": "?"}), 401, "does not publish"),
    ("no key", lambda a: a.sign({"iss": a.issuer()}, {"kid": None}), 401, "which key"),
    ("cut", lambda a: a.token(**ROLE)[:-9], 401, "token"),
    ("dots", lambda _: "a.b.c", 401, "neither"),
    ("no role", lambda a: a.token(), 403, "roles or scopes"),
    ("other role", lambda a: a.token(roles=["Models.Read"], scp="openid"), 403, "roles or scopes"),
]


@pytest.mark.parametrize(("made", "status", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_bad_token_is_told_why_and_nothing_else(
    server: Server, issuing: Authority, made: Callable[[Authority], str], status: int, said: str
) -> None:
    token = made(issuing)
    for path in (f"/score/{CLAIM}", "/readyz?verbose", "/metrics"):
        answer = server.get(path, headers=bearer(token))
        assert answer.status_code == status
        assert answer.json()["code"] == {401: "unauthenticated", 403: "forbidden"}[status]
        assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
        assert said in answer.json()["message"]
        assert token not in answer.text
        assert CLAIM not in answer.text
    assert server.get("/healthcheck", headers=bearer(token)).json() == {"HealthStatus": "Okay"}
    assert CLAIM not in server.get("/openapi.json", headers=bearer(token)).text


def test_without_a_role_the_answer_comes_before_the_body(
    server: Server, issuing: Authority
) -> None:
    head = f"POST /score/{CLAIM} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    credential = f"Authorization: Bearer {issuing.token()}\r\nContent-Length: 100000\r\n\r\n"
    assert server.exchange((head + credential).encode()).startswith(b"HTTP/1.1 403 ")


def inside(server: Server) -> float:
    text = server.get("/metrics", headers=bearer("first")).text
    found = re.search(r"^requests_in_flight (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def test_the_limit_of_a_client_is_one_for_all_tokens_of_an_application(
    server: Server, issuing: Authority
) -> None:
    token = issuing.token(**ROLE)
    head = f"POST /score/{CLAIM} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as held:
        held.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n{{".encode())
        server.wait_until(lambda: inside(server) == 1)
        assert score(server, bearer(issuing.token(**ROLE))).status_code == 429
        assert score(server, bearer(issuing.token(azp="another", **ROLE))).status_code == 200
        assert score(server, bearer("first")).status_code == 200


def test_no_token_is_written_down(server: Server, issuing: Authority) -> None:
    shown = [issuing.token(**ROLE), *(made(issuing) for name, made, *_ in BAD if name != "dots")]
    for token in shown:
        score(server, bearer(token))
        score(server, {"x-api-key": token})
    log = server.log()
    assert '"status": 401' in log or '"status":401' in log
    pieces = {piece for token in shown for piece in token.split(".")[1:] if len(piece) > 9}
    assert not any(piece in log for piece in pieces)


def test_keys_may_rotate_and_made_up_key_ids_cause_no_storm(
    issuing: Authority, certificates: Certificates
) -> None:
    with serving("/readyz", **settings(issuing, certificates)) as running:
        assert score(running, bearer(issuing.token(**ROLE))).status_code == 200
        issuing.rotate()
        assert score(running, bearer(issuing.token(**ROLE))).status_code == 200
        before = issuing.asked("/keys")
        for number in range(100):
            token = issuing.sign({"iss": issuing.issuer()}, {"kid": f"made-up-{number}"})
            assert score(running, bearer(token)).status_code == 401
        assert issuing.asked("/keys") <= before + 1


def test_an_issuer_that_is_down_at_the_start_locks_out_no_key_and_no_token_for_good(
    certificates: Certificates,
) -> None:
    with Authority(certificates) as issuing:
        issuing.fail("/keys")
        with serving("/readyz", **settings(issuing, certificates)) as running:
            refused = score(running, bearer(issuing.token(**ROLE)))
            assert (refused.status_code, refused.json()["code"]) == (503, "issuer-unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert score(running, bearer("first")).status_code == 200
            issuing.mend()
            until = time.monotonic() + START_S
            while score(running, bearer(issuing.token(**ROLE))).status_code != 200:
                assert time.monotonic() < until, running.log()
                time.sleep(0.1)


def test_an_issuer_that_never_answers_delays_neither_start_nor_end(
    certificates: Certificates,
) -> None:
    with Authority(certificates) as issuing:
        issuing.fail("openid-configuration", hang=True)
        with serving("/readyz", **settings(issuing, certificates)) as running:
            assert score(running, bearer("first")).status_code == 200
            assert running.stop() == 0


def test_a_server_without_an_issuer_imports_nothing_of_tokens() -> None:
    code = "import sys, app.cli, app.main; print({'jwt', 'app.auth.tokens'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert told.stdout.strip() == b"set()"
