"""A stand-in of Entra ID: OpenID configuration, keys, tokens, and a metadata address for pods.

It answers as login.microsoftonline.com and 169.254.169.254 do, to the real clients.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.azure.certificates import Certificates
from tests.azure.stand_in import Answer, Request, StandIn

TENANT = "72f988bf-0000-4000-8000-00000000feed"
CLIENT = "11111111-0000-4000-8000-00000000c1ad"
SECRET = "stand-in~secret"
FEDERATED = "stand-in.federated.assertion"
STS = f"https://sts.windows.net/{TENANT}/"
"""Who Azure's own services, and Azurite, want to have issued the tokens of their callers."""
BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class _Key:
    """An RSA key with its id."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def public(self) -> dict[str, str]:
        """As a JWK (RFC 7517)."""
        told = jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {"kty": "RSA", "use": "sig", "kid": self.id, "n": told["n"], "e": told["e"]}


class Authority(StandIn):
    """One tenant, over TLS at `url` and for pods at `metadata_url`; a context manager."""

    def __init__(self, certificates: Certificates, *, host: str = "localhost") -> None:
        super().__init__(certificates.server_context(), None)
        self.secrets = {CLIENT: SECRET}
        """By the id of the application."""
        self.lifetime_s = 3600
        """Of the tokens that its endpoints give."""
        self._keys = [_Key()]
        self.url = f"https://{host}:{self.ports[0]}"
        self.metadata_url = f"http://127.0.0.1:{self.ports[1]}"
        """For AZURE_POD_IDENTITY_AUTHORITY_HOST; `/msi/token` below it for IDENTITY_ENDPOINT."""

    def issuer(self, version: int = 2) -> str:
        """As SERVE_JWT_ISSUER names it, and `iss` of tokens."""
        return f"{self.url}/{TENANT}/v2.0" if version == 2 else f"{self.url}/{TENANT}/"

    def token(
        self,
        aud: str = "api://models",
        *,
        version: int = 2,
        roles: list[str] | None = None,
        scp: str | None = None,
        lifetime_s: float = 3600,
        **claims: Any,
    ) -> str:
        """An access token, signed with the newest key; `claims` go before all, None leaves out."""
        now = int(time.time())
        application = {"azp": CLIENT} if version == 2 else {"appid": CLIENT}
        told = {
            "aud": aud, "iss": self.issuer(version), "iat": now, "nbf": now,
            "exp": int(now + lifetime_s), "tid": TENANT, "ver": f"{version}.0", "sub": CLIENT,
            "roles": roles, "scp": scp, "uti": uuid.uuid4().hex, **application, **claims,
        }  # fmt: skip
        return self.sign({name: value for name, value in told.items() if value is not None})

    def sign(self, claims: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> str:
        """`claims` as they are, with RS256; `headers` change its own, None leaves out."""
        key = self._keys[-1]
        given = {"kid": key.id, **(headers or {})}
        told = {name: value for name, value in given.items() if value is not None}
        return jwt.api_jws.encode(json.dumps(claims).encode(), key.private, "RS256", told)

    def public_key(self) -> bytes:
        """The newest, in PEM."""
        public = self._keys[-1].private.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key; the one before stays published, or not."""
        self._keys = [*(self._keys if keep_old else ()), _Key()]

    def answer(self, request: Request) -> Answer:
        """See `StandIn`."""
        for pattern, reply in _ROUTES.items():
            if match := re.fullmatch(pattern, request.path):
                tenant = match.groupdict().get("tenant", TENANT)
                if tenant not in (TENANT, "common"):
                    said = f"Tenant '{tenant}' not found. Check to make sure you have it right."
                    return _refused(400, "invalid_tenant", 90002, said)
                return reply(self, request)
        return Answer({}, 404)

    def _configuration(self, request: Request) -> Answer:
        version, path = (2, "/v2.0") if "/v2.0/" in request.path else (1, "")
        base = f"{self.url}/{TENANT}"
        return Answer(
            {
                "issuer": self.issuer(version),
                "jwks_uri": f"{base}/discovery{path}/keys",
                "token_endpoint": f"{base}/oauth2{path}/token",
                "authorization_endpoint": f"{base}/oauth2{path}/authorize",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def _published(self, _: Request) -> Answer:
        return Answer({"keys": [key.public() for key in self._keys]})

    def _instance(self, _: Request) -> Answer:
        where = f"{self.url}/{TENANT}/v2.0/.well-known/openid-configuration"
        return Answer({"tenant_discovery_endpoint": where, "api-version": "1.1", "metadata": []})

    def _of_client(self, request: Request) -> Answer:
        """The client credentials grant, with a secret or with a federated assertion."""
        given = request.values
        client = given.get("client_id", "")
        if client not in self.secrets:
            said = f"Application with identifier '{client}' was not found in the directory."
            return _refused(400, "unauthorized_client", 700016, said)
        if given.get("client_assertion_type") == BEARER:
            if given.get("client_assertion") != FEDERATED:
                said = "No matching federated identity record found for presented assertion."
                return _refused(401, "invalid_client", 700211, said)
        elif given.get("client_secret") != self.secrets[client]:
            said = (
                "Invalid client secret provided. Ensure the secret being sent in the request is "
                f"the client secret value, not the client secret ID, for app '{client}'."
            )
            return _refused(401, "invalid_client", 7000215, said)
        audience = given.get("scope", "").split(" ")[0].removesuffix("/.default")
        token = {"token_type": "Bearer", "expires_in": self.lifetime_s}
        return Answer({**token, "access_token": self._of_azure(audience, client)})

    def _of_pod(self, request: Request) -> Answer:
        """A managed identity; App Service's answer has the same fields."""
        is_proven = request.headers.get("metadata") == "true"
        if not is_proven or "resource" not in request.values:
            return Answer({"error": "invalid_request"}, 400)
        audience = request.values["resource"].removesuffix("/")
        return Answer(
            {
                "access_token": self._of_azure(audience, request.values.get("client_id", CLIENT)),
                "expires_in": str(self.lifetime_s),
                "expires_on": str(int(time.time()) + self.lifetime_s),
                "resource": audience,
                "token_type": "Bearer",
            }
        )

    def _of_azure(self, audience: str, client: str) -> str:
        life = self.lifetime_s
        return self.token(audience, version=1, lifetime_s=life, iss=STS, appid=client)


_ROUTES: Mapping[str, Callable[[Authority, Request], Answer]] = {
    r"/(?P<tenant>[^/]+)(/v2\.0)?/\.well-known/openid-configuration": Authority._configuration,
    r"/common/discovery/instance": Authority._instance,
    r"/(?P<tenant>[^/]+)/discovery(/v2\.0)?/keys": Authority._published,
    r"/(?P<tenant>[^/]+)/oauth2/v2\.0/token": Authority._of_client,
    r"/metadata/identity/oauth2/token": Authority._of_pod,
    r"/msi/token": Authority._of_pod,
}


def _refused(status: int, error: str, number: int, said: str) -> Answer:
    """As Entra ID words it."""
    trace, correlation = uuid.uuid4(), uuid.uuid4()
    at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    told = f"AADSTS{number}: {said} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {at}"
    return Answer(
        {
            "error": error,
            "error_description": told,
            "error_codes": [number],
            "timestamp": at,
            "trace_id": str(trace),
            "correlation_id": str(correlation),
            "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        },
        status,
    )
