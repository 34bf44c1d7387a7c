"""Who this process is to Azure: one credential, its tokens kept and renewed before they end."""

from __future__ import annotations

import importlib
import logging
import math
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from app.errors import RegistryUnavailable

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo

logger = logging.getLogger(__name__)

DEADLINE_S: Final = 10.0
"""For one token; an address that takes connections and never answers would hold it for minutes."""
RENEW_S: Final = 300.0
"""A token is renewed so long before it ends."""
_AGAIN_S: Final = 10.0
"""A renewal that failed is not tried again for so long, while the kept token is valid."""
_PATIENCE: Final = {"retry_total": 1, "connection_timeout": 4, "read_timeout": 4}
"""Of the clients, which else hold on to an address that never answers for minutes."""

_MEANINGS: Final = {
    "7000215": "the client secret is wrong: AZURE_CLIENT_SECRET (or CLIENT_SECRET)",
    "7000222": "the client secret has expired; make a new one and set AZURE_CLIENT_SECRET",
    "700016": "the directory has no such application: AZURE_CLIENT_ID (or CLIENT_ID)",
    "90002": "there is no such directory: AZURE_TENANT_ID (or TENANT_ID)",
    "900023": "there is no such directory: AZURE_TENANT_ID (or TENANT_ID)",
    "70021": "no federated credential of the application is for this service account",
    "700211": "no federated credential of the application has this cluster as issuer",
    "700213": "no federated credential of the application is for this service account",
    "53003": "a conditional access policy of the directory forbids it",
}
"""Error number of Entra ID (AADSTS...) -> what to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """What is known of the process; `choice` is one of auto, workload, secret, managed, cli."""

    choice: str = "auto"
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    federated_token_file: str | None = None
    authority: Callable[[], str]
    """URL of the issuer of tokens; may ask the network."""
    has_own_authority: bool = False
    """The issuer is not one that Microsoft lists."""

    @property
    def kind(self) -> str:
        """The choice, made: the first whose variables are there."""
        choice = self.choice.partition(":")[0]
        if choice != "auto":
            return choice
        if self.federated_token_file:
            return "workload"
        has_secret = self.tenant_id and self.client_id and self.client_secret
        return "secret" if has_secret else "managed"


class Identity:
    """A credential as Azure's clients want one; its methods block, for `DEADLINE_S` at most."""

    def __init__(
        self, principal: Principal, deadline_s: float = DEADLINE_S, renew_s: float = RENEW_S
    ) -> None:
        self._principal = principal
        self._deadline_s = deadline_s
        self._renew_s = renew_s
        self._credential: Any = None
        self._tokens: dict[tuple[str, ...], AccessTokenInfo] = {}
        self._asking: dict[tuple[str, ...], Future[AccessTokenInfo]] = {}
        self._failed_at: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """As `azure.core.credentials.TokenCredential`. Raises: RegistryUnavailable."""
        from azure.core.credentials import AccessToken

        info = self.get_token_info(*scopes)
        return AccessToken(info.token, info.expires_on)

    def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:
        """As `azure.core.credentials.SupportsTokenInfo`; a kept token when it is good for a while.

        Raises:
            RegistryUnavailable: there is none to be had; the text says what to set or to grant.
        """
        with self._lock:
            kept = self._tokens.get(scopes)
            left_s = 0.0 if kept is None else kept.expires_on - time.time()
            failed_s = time.monotonic() - self._failed_at.get(scopes, -math.inf)
            is_early = left_s > self._renew_s or (left_s > 0 and failed_s < _AGAIN_S)
            if kept is not None and is_early:
                return kept
            future = self._asking.get(scopes)
            if future is None:
                future = self._asking[scopes] = Future()
                name = "token"
                threading.Thread(
                    target=self._ask, args=(scopes, future), name=name, daemon=True
                ).start()
        if kept is not None and left_s > self._deadline_s * 3:
            return kept  # whoever asks meanwhile need not wait
        try:
            return future.result(self._deadline_s)
        except (RegistryUnavailable, Late) as error:
            if kept is not None and kept.expires_on > time.time():
                return kept
            raise (self._late() if isinstance(error, Late) else error) from None

    def _ask(self, scopes: tuple[str, ...], future: Future[AccessTokenInfo]) -> None:
        """In a thread of its own, which nobody need wait for."""
        try:
            token = self._made().get_token_info(*scopes)
        except Exception as error:  # noqa: BLE001  # whatever the clients raise: it is told as ours
            is_told = isinstance(error, RegistryUnavailable)
            problem = error if is_told else RegistryUnavailable(self._meaning(error))
            with self._lock:
                self._failed_at[scopes] = time.monotonic()
                del self._asking[scopes]
                is_kept = scopes in self._tokens
            if is_kept:
                logger.warning("the token at hand is used as long as it lasts: %s", problem)
            future.set_exception(problem)
        else:
            with self._lock:
                self._tokens[scopes] = token
                del self._asking[scopes]
            future.set_result(token)

    def _made(self) -> Any:
        if self._credential is None:
            kind = self._principal.kind
            self._credential = _MAKERS[kind](
                importlib.import_module("azure.identity"), self._principal
            )
            logger.info("Azure is asked by the %s identity", kind)
        return self._credential

    def _late(self) -> RegistryUnavailable:
        return RegistryUnavailable(
            f"no token for Azure within {self._deadline_s:.0f} s ({self._source()}): is the way to "
            f"it open? {_HINTS[self._principal.kind]}"
        )

    def _meaning(self, error: Exception) -> str:
        """Never the text of `error`, which may hold anything that was sent."""
        number = re.search(r"AADSTS(\d+)", str(error))
        if number is not None:
            code = number[1]
            meaning = _MEANINGS.get(code, _HINTS[self._principal.kind])
            return f"no token for Azure (AADSTS{code}): {meaning}"
        kind = type(error).__name__
        return f"no token for Azure ({self._source()}, {kind}): {_HINTS[self._principal.kind]}"

    def _source(self) -> str:
        return {
            "workload": "workload identity",
            "secret": "client secret",
            "managed": "managed identity",
            "cli": "az login",
        }[self._principal.kind]


_HINTS: Final = {
    "workload": "check AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID and AZURE_CLIENT_ID, which the "
    "pod's label azure.workload.identity/use and its service account's annotation bring",
    "secret": "check AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET (or the older names "
    "without AZURE_), and that the network lets the pod reach the issuer",
    "managed": "no managed identity answers here; give the node one, use workload identity, or set "
    "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    "cli": "sign in with az login",
}
"""Kind of identity -> what to look at when it gives no token."""


def _workload(identity: Any, principal: Principal) -> Any:
    _need(principal, "federated_token_file", "tenant_id", "client_id")
    return identity.WorkloadIdentityCredential(
        tenant_id=principal.tenant_id,
        client_id=principal.client_id,
        token_file_path=principal.federated_token_file,
        **_authority(principal),
    )


def _secret(identity: Any, principal: Principal) -> Any:
    _need(principal, "tenant_id", "client_id", "client_secret")
    return identity.ClientSecretCredential(
        principal.tenant_id, principal.client_id, principal.client_secret, **_authority(principal)
    )


def _managed(identity: Any, principal: Principal) -> Any:
    """azure-identity alone waits without an end for an address that never answers."""
    client_id = principal.choice.partition(":")[2] or principal.client_id
    return identity.ManagedIdentityCredential(
        client_id=client_id,
        **_PATIENCE,
        _exclude_workload_identity_credential=True,
    )


def _cli(identity: Any, principal: Principal) -> Any:
    return identity.AzureCliCredential(process_timeout=int(DEADLINE_S))


_MAKERS: Final = {"workload": _workload, "secret": _secret, "managed": _managed, "cli": _cli}


def _authority(principal: Principal) -> dict[str, Any]:
    own = principal.has_own_authority
    told = {"authority": principal.authority(), "disable_instance_discovery": own}
    return {**told, **_PATIENCE}


def _need(principal: Principal, *names: str) -> None:
    missing = [f"AZURE_{name.upper()}" for name in names if not getattr(principal, name)]
    if missing:
        raise RegistryUnavailable(f"no token for Azure: {' and '.join(missing)} is not set")
