"""The endpoints of Azure's clouds: public ones are known, a private one is asked for its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from app.errors import RegistryUnavailable


@dataclass(frozen=True, slots=True)
class Cloud:
    """URLs without a slash at their end."""

    resource_manager: str
    authority: str
    registry_discovery: str

    @property
    def scope(self) -> str:
        """Of tokens for the resource manager."""
        return f"{self.resource_manager}/.default"


CLOUDS: Final = {
    "AzureCloud": Cloud(
        "https://management.azure.com",
        "https://login.microsoftonline.com",
        "https://eastus.api.azureml.ms",
    ),
    "AzureChinaCloud": Cloud(
        "https://management.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
        "https://chinaeast2.api.ml.azure.cn",
    ),
    "AzureUSGovernment": Cloud(
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
        "https://usgovarizona.api.ml.azure.us",
    ),
}
"""By the names that Azure's command line has for them."""


def find(name: str | None, metadata_url: str | None, discovery_url: str | None) -> Cloud:
    """The cloud called `name`, or the one whose resource manager tells of itself. Blocking.

    Args:
        metadata_url: where a private cloud tells of its endpoints; None: only known ones.
        discovery_url: where registries are found; None is that of the cloud.

    Raises:
        RegistryUnavailable: no such cloud, or its endpoints cannot be had.
    """
    known = CLOUDS.get(name or "AzureCloud")
    if name in CLOUDS or (known is not None and metadata_url is None):
        cloud = known
    elif metadata_url is None:
        raise RegistryUnavailable(
            f"AZUREML_CURRENT_CLOUD names no known cloud ({', '.join(CLOUDS)}); of a private one "
            "tell the endpoints by ARM_CLOUD_METADATA_URL"
        )
    else:
        cloud = _private(name, metadata_url)
    assert cloud is not None
    return (
        cloud if discovery_url is None else replace(cloud, registry_discovery=_url(discovery_url))
    )


def _private(name: str | None, metadata_url: str) -> Cloud:
    told = _asked(metadata_url)
    for entry in told if isinstance(told, list) else [told]:
        try:
            manager = _url(entry["resourceManager"])
            is_meant = entry["name"] == name if name else metadata_url.startswith(manager)
            if is_meant:
                return Cloud(manager, _url(entry["authentication"]["loginEndpoint"]), "")
        except (KeyError, TypeError, AttributeError):
            continue
    raise RegistryUnavailable("ARM_CLOUD_METADATA_URL does not tell of this cloud's endpoints")


def _asked(url: str) -> Any:
    from azure.core import PipelineClient
    from azure.core.exceptions import AzureError
    from azure.core.rest import HttpRequest

    from app.azure.faults import Place, unavailable
    from app.azure.patience import CONNECT_S, READ_S

    place = Place("the resource manager", "ARM_CLOUD_METADATA_URL", "it should be open to all")
    client: Any = PipelineClient(base_url=url, policies=[])
    try:
        request = HttpRequest("GET", url)
        with client.send_request(
            request, connection_timeout=CONNECT_S, read_timeout=READ_S
        ) as answer:
            answer.raise_for_status()
            return answer.json()
    except (AzureError, ValueError) as error:
        raise unavailable(error, place) from None


def _url(text: str) -> str:
    return text.rstrip("/")
