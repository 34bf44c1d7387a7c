"""What the operator may choose: environment variables (`variables`) and a file (`file`)."""

from app.settings.file import BatchingSettings, ConfigFile, ModelSettings, RegistrySettings
from app.settings.values import ModelChoice, SettingsError, parse_bytes
from app.settings.variables import Settings

__all__ = [
    "BatchingSettings",
    "ConfigFile",
    "ModelChoice",
    "ModelSettings",
    "RegistrySettings",
    "Settings",
    "SettingsError",
    "parse_bytes",
]
