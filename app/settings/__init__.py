"""What the operator may choose: environment variables (`variables`; `azure` those that other tools
named) and a file (`file`)."""

from app.quantities import parse_bytes
from app.settings.azure import AzureSettings, InsightsSettings
from app.settings.collecting import SALT_LENGTH, CollectSettings, ColumnsSettings
from app.settings.file import BatchingSettings, ConfigFile, ModelSettings, RegistrySettings
from app.settings.values import ModelChoice, SettingsError
from app.settings.variables import Settings

__all__ = [
    "SALT_LENGTH",
    "AzureSettings",
    "BatchingSettings",
    "CollectSettings",
    "ColumnsSettings",
    "ConfigFile",
    "InsightsSettings",
    "ModelChoice",
    "ModelSettings",
    "RegistrySettings",
    "Settings",
    "SettingsError",
    "parse_bytes",
]
