"""What an error of Azure's clients means, and what mends it.

The text of the error itself is never passed on: it may hold an address with its signature.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)

from app.errors import RegistryUnavailable

logger = logging.getLogger(__name__)

DATA_SCIENTIST: Final = '"AzureML Data Scientist"'
BLOB_READER: Final = '"Storage Blob Data Reader"'
BLOB_CONTRIBUTOR: Final = '"Storage Blob Data Contributor"'


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request went, in words for the operator."""

    name: str
    """As in `workspace churn-prod`."""
    settings: str
    """What names it."""
    forbidden: str
    """What a 403 asks for."""
    host: str = ""
    unknown: str = (
        "the token is not taken; does the directory (AZURE_TENANT_ID) own it, and is it the right "
        "cloud (AZUREML_CURRENT_CLOUD)?"
    )
    """What a 401 asks for."""


def unavailable(error: Exception, place: Place) -> RegistryUnavailable:
    """`error`, raised by a client of Azure, as one of ours."""
    if isinstance(error, DecodeError | ValueError) and not isinstance(error, IncompleteReadError):
        return _odd(place)
    if isinstance(error, HttpResponseError) and error.status_code:
        return _answered(error, place)
    is_late = any("ReadTimeout" in reason for reason in _chain(error))
    if isinstance(error, ServiceRequestError) and not is_late:
        return RegistryUnavailable(_unreached(error, place))
    if isinstance(error, ServiceRequestError | ServiceResponseError | HttpResponseError):
        text = f"{place.name} took the request and did not answer in time, or broke off"
        return RegistryUnavailable(f"{text}; is a proxy or a firewall in between?")
    return RegistryUnavailable(f"{place.name} cannot be read ({type(error).__name__})")


@contextmanager
def asking(place: Place) -> Iterator[None]:
    """Whatever a client of Azure raises inside is told as ours. Raises: RegistryUnavailable."""
    try:
        with readable(place):
            yield
    except AzureError as error:
        raise unavailable(error, place) from None


@contextmanager
def readable(place: Place) -> Iterator[None]:
    """What is read of an answer inside: one of an odd form is no fault of ours."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        logger.debug("%s", place.name, exc_info=error)
        raise _odd(place) from None


def code_of(error: HttpResponseError) -> str:
    """The word that Azure has for it, as in `AuthorizationFailed`."""
    told: Any = getattr(error, "error_code", None) or getattr(error.error, "code", None)
    if told is None:
        told = _header(error, "x-ms-error-code")
    return str(getattr(told, "value", told) or "")


def _odd(place: Place) -> RegistryUnavailable:
    return RegistryUnavailable(
        f"{place.name} answered with something else than Azure does; is a proxy in between? else "
        f"check {place.settings}"
    )


def _answered(error: HttpResponseError, place: Place) -> RegistryUnavailable:
    status, code = error.status_code or 0, code_of(error)
    mend = _BY_CODE.get(code)
    if code == _FIREWALL:
        mend = f"{mend}, or else {place.forbidden}"
    retry_after_s = None
    if mend is None and (status == 401 or isinstance(error, ClientAuthenticationError)):
        mend = place.unknown
    elif mend is None and status == 403:
        mend = place.forbidden
    elif mend is None and status == 404:
        mend = f"there is no such place; check {place.settings}"
    elif mend is None and status == 429:
        retry_after_s = _retry_after_s(error)
        mend = "it has had too many requests; it is asked again later"
    elif mend is None:
        mend = "it is asked again later" if status >= 500 else f"check {place.settings}"
    answer = f"{status} {code}".strip()
    text = f"{place.name} answered {answer}: {mend}"
    return RegistryUnavailable(text, retry_after_s=retry_after_s)


def _retry_after_s(error: HttpResponseError) -> float | None:
    told = _header(error, "retry-after")
    return min(600.0, float(told)) if told.isdigit() and len(told) < 10 else None


def _header(error: HttpResponseError, name: str) -> str:
    response: Any = error.response
    return "" if response is None else str(response.headers.get(name) or "")


def _unreached(error: ServiceRequestError, place: Place) -> str:
    reasons = _chain(error)
    where = f"{place.name} ({place.host})" if place.host else place.name
    if any("NameResolution" in reason or "gaierror" in reason for reason in reasons):
        return (
            f"{where} cannot be found by DNS; check {place.settings}, and whether a private DNS "
            "zone is missing in this network"
        )
    if any("SSL" in reason or "Certificate" in reason for reason in reasons):
        return (
            f"{where} shows a certificate that is not trusted here; name the authority's file in "
            "REQUESTS_CA_BUNDLE and SSL_CERT_FILE"
        )
    return (
        f"{where} cannot be reached; is the way out of this network open (firewall, network "
        "policy, proxy)?"
    )


def _chain(error: BaseException | None) -> list[str]:
    """The names of the error's kind and of all that caused it."""
    names: list[str] = []
    pending: list[Any] = [error]
    while pending and len(names) < 20:
        found = pending.pop()
        if isinstance(found, BaseException):
            names.append(type(found).__name__)
            inner = [getattr(found, "inner_exception", None), getattr(found, "reason", None)]
            pending += [found.__cause__, found.__context__, *inner, *found.args]
    return names


_FIREWALL: Final = "AuthorizationFailure"
_BY_CODE: Final = {
    "SubscriptionNotFound": "there is no such subscription for this identity; check "
    "SUBSCRIPTION_ID and AZURE_TENANT_ID",
    "InvalidSubscriptionId": "SUBSCRIPTION_ID is no subscription's id",
    "ResourceGroupNotFound": "the subscription has no such resource group; check RESOURCE_GROUP",
    "InvalidAuthenticationTokenTenant": "the token is of another directory; check AZURE_TENANT_ID",
    "ExpiredAuthenticationToken": "the token has expired; is the clock of this machine right?",
    _FIREWALL: "the storage account's firewall does not let this network in (allow its subnet, or "
    "use a private endpoint)",
    "PublicAccessNotPermitted": "it takes no anonymous requests; give a key, a shared access "
    "signature or an identity",
    "NoAuthenticationInformation": "it takes no anonymous requests; give a key, a shared access "
    "signature or an identity",
    "KeyBasedAuthenticationNotPermitted": "the account takes no keys; make the datastore use an "
    f"identity, and give this one the role {BLOB_READER}",
    "ContainerNotFound": "there is no such container",
    "AccountIsDisabled": "the storage account is disabled",
}
"""Azure's word -> what to mend; the commonest ones."""
