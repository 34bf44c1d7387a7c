"""Environment variables that other tools named: of Azure's clients, and of older templates.

Not here: those that begin with SERVE_ (`variables`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from pydantic import SecretStr

from app.settings.values import SettingsError

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """Who this process is in Azure, and where; the newer name of a variable goes first."""

    tenant_id: str | None = None
    """AZURE_TENANT_ID, TENANT_ID: the directory that issues tokens."""
    client_id: str | None = None
    """AZURE_CLIENT_ID, CLIENT_ID: the service principal, or a managed identity of several."""
    client_secret: SecretStr | None = None
    """AZURE_CLIENT_SECRET, CLIENT_SECRET: of the service principal."""
    federated_token_file: str | None = None
    """AZURE_FEDERATED_TOKEN_FILE: path of the token that workload identity gives to a pod."""
    authority_host: str | None = None
    """AZURE_AUTHORITY_HOST: URL of the issuer of tokens; None is that of the cloud."""
    subscription_id: str | None = None
    """SUBSCRIPTION_ID, AZURE_SUBSCRIPTION_ID: of the workspace."""
    resource_group: str | None = None
    """RESOURCE_GROUP: of the workspace."""
    workspace_name: str | None = None
    """WORKSPACE_NAME: with the two above it is `azureml://workspace`."""
    cloud: str | None = None
    """AZUREML_CURRENT_CLOUD: AzureCloud, AzureChinaCloud, AzureUSGovernment or a private name."""
    cloud_metadata_url: str | None = None
    """ARM_CLOUD_METADATA_URL: where a private cloud tells of its endpoints."""
    registry_discovery_url: str | None = None
    """REGISTRY_DISCOVERY_ENDPOINT_URL: where registries are found; None is that of the cloud."""
    storage_key: SecretStr | None = None
    """AZURE_STORAGE_KEY: account key for registries in Blob storage."""
    storage_sas: SecretStr | None = None
    """AZURE_STORAGE_SAS_TOKEN: shared access signature for registries in Blob storage."""
    has_older_names: bool = False
    """The service principal comes from the older names."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """What `environ` says; an empty variable is an unset one."""
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        names = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
        is_newer = all(f"AZURE_{name}" in given for name in names)
        is_older = not is_newer and all(name in given for name in names)
        tenant, client, secret = (
            given.get(name) if is_older else given.get(f"AZURE_{name}") for name in names
        )
        return cls(
            tenant_id=tenant,
            client_id=client,
            client_secret=_secret(secret),
            federated_token_file=given.get("AZURE_FEDERATED_TOKEN_FILE"),
            authority_host=given.get("AZURE_AUTHORITY_HOST"),
            subscription_id=given.get("SUBSCRIPTION_ID") or given.get("AZURE_SUBSCRIPTION_ID"),
            resource_group=given.get("RESOURCE_GROUP"),
            workspace_name=given.get("WORKSPACE_NAME"),
            cloud=given.get("AZUREML_CURRENT_CLOUD"),
            cloud_metadata_url=given.get("ARM_CLOUD_METADATA_URL"),
            registry_discovery_url=given.get("REGISTRY_DISCOVERY_ENDPOINT_URL"),
            storage_key=_secret(given.get("AZURE_STORAGE_KEY")),
            storage_sas=_secret(given.get("AZURE_STORAGE_SAS_TOKEN")),
            has_older_names=is_older,
        )

    def told(self) -> dict[str, str | None]:
        """Each by its name, also the secrets."""
        values = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name != "has_older_names"
        }
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in values.items()
        }

    @property
    def has_workspace(self) -> bool:
        """All three that name a workspace are set."""
        return bool(self.subscription_id and self.resource_group and self.workspace_name)


@dataclass(frozen=True, slots=True)
class InsightsSettings:
    """Where traces go."""

    connection_string: SecretStr | None = None
    """APPLICATIONINSIGHTS_CONNECTION_STRING, or made of AML_APP_INSIGHTS_KEY; None sends none."""
    otlp_endpoint: str | None = None
    """OTEL_EXPORTER_OTLP_ENDPOINT: URL of a collector; None sends none."""
    service_name: str = "aml-serve"
    """OTEL_SERVICE_NAME: the role name."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """What `environ` says.

        Raises: SettingsError when Application Insights is switched on and nothing says where.
        """
        given = {name: value.strip() for name, value in environ.items() if value.strip()}
        switch = given.get("AML_APP_INSIGHTS_ENABLED")
        is_on = None if switch is None else _BOOLEANS.get(switch.lower())
        if switch is not None and is_on is None:
            raise SettingsError("AML_APP_INSIGHTS_ENABLED is text; allowed: true or false")
        connection = given.get("APPLICATIONINSIGHTS_CONNECTION_STRING")
        key = given.get("AML_APP_INSIGHTS_KEY")
        if connection is None and key is not None:
            connection = f"InstrumentationKey={key}"
        if is_on and connection is None:
            raise SettingsError(
                "AML_APP_INSIGHTS_ENABLED is true, and nothing says where to send; set "
                "APPLICATIONINSIGHTS_CONNECTION_STRING, or AML_APP_INSIGHTS_KEY"
            )
        return cls(
            connection_string=None if is_on is False else _secret(connection),
            otlp_endpoint=given.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
            service_name=given.get("OTEL_SERVICE_NAME") or "aml-serve",
        )


def _secret(text: str | None) -> SecretStr | None:
    return None if text is None else SecretStr(text)
