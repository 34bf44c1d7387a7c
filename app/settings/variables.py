"""Every environment variable: its name, default, unit and meaning.

Not here: the keys of the configuration file (`file`).
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app.settings.azure import AzureSettings, InsightsSettings
from app.settings.dropin import DropInSettings, origins
from app.settings.file import ModelSettings, RegistrySettings
from app.settings.kinds import (
    ApiKeys,
    AzuremlClient,
    Choices,
    ConfigPath,
    Count,
    Flag,
    Host,
    Issuers,
    LogFormat,
    LogLevel,
    NoPort,
    Pause,
    Port,
    ReadablePath,
    Status,
    StepBack,
    StepBackSettings,
    Telemetry,
    Texts,
    Timeout,
)
from app.settings.values import (
    Identity,
    ModelName,
    RegistryUrl,
    SettingsError,
    Size,
    TrustRule,
    fault_line,
    near_name,
    printable,
)

PREFIX = "SERVE_"
WORKSPACE = "azureml://workspace"
_FOREIGN = ("azure", "insights", "drop_in", "cors_origins", "reloads")
"""Fields that no variable of ours sets."""

_GRACE_S = 5.0
"""A script's own clock ends it first."""

# Kubernetes tells every pod of a namespace about its Services, and one may be named `serve`.
_INJECTED = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP).*)?)$")
_ADDRESSES = ("tcp://", "udp://", "sctp://")


def _cache_dir(environ: Mapping[str, str]) -> Path:
    """By the XDG base directory specification, which ignores relative paths."""
    xdg = Path(environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else _home(environ) / ".cache") / "aml-serve"


def _home(environ: Mapping[str, str]) -> Path:
    try:
        return Path(environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container may run as a user that has no entry
        return Path("/")


class Settings(BaseSettings):
    """What the operator chose, checked and never changed; `load` makes it."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    host: Host = "0.0.0.0"  # noqa: S104 - a container listens on all its addresses
    """Address or host name to listen on."""
    port: Port = 5001
    """TCP port of HTTP; 0 is any free one."""
    grpc_port: NoPort = 0
    """TCP port of gRPC; 0 is off, and all that this version knows."""
    registry: RegistryUrl | None = None
    """Where models come from: a folder, an Azure ML workspace or registry, or Blob storage.
    None is the workspace that the older names tell of, else the first of the file's."""
    models: Choices | None = None
    """`name`, `name:version` or `name:latest`, comma-separated: loaded before readiness.
    None is all in a local registry, and none elsewhere."""
    default_model: ModelName | None = None
    """Name of the model that answers requests which name none; None is the only one there is."""
    config: ConfigPath | None = None
    """Path of the configuration file, in YAML, at most 1 MiB; held here as what it says."""
    trust: TrustRule | None = None
    """Whose code may run: all, pinned (digests that the file lists) or none; None is all for a
    folder and for the workspace, pinned elsewhere."""
    identity: Identity = "auto"
    """Which credential Azure is asked with."""
    azureml_client: AzuremlClient = "rest"
    """What reads Azure ML's metadata: rest, or azure-ai-ml (sdk)."""
    on_demand: Flag = True
    """Other registered models are loaded on their first request."""
    on_demand_match: str = "*"
    """Shell pattern of the names that may be loaded on demand."""
    refresh_s: Pause = 60.0
    """Seconds between two looks for newer versions of what is loaded; 0 is never."""
    step_back: StepBack = StepBackSettings(0.05, 300.0)
    """When a newer version makes way for the one before it: by how much more often its code fails,
    and for how long that is watched; None is never."""
    cache_dir: Path = Field(default_factory=lambda: _cache_dir({}))
    """Folder of the store; by default `aml-serve` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    cache_bytes: Size = 10 * 1024**3
    """Bytes that the store may fill."""
    memory_bytes: Size | None = None
    """Bytes that loaded models may take, per pod; None is a share of the memory limit."""
    body_memory_bytes: Size | None = None
    """Bytes of request bodies held at once; None is 10 % of the memory limit."""
    max_body_bytes: Size = 100 * 1024**2
    """Bytes of one request body, decompressed."""
    timeout_s: Timeout = 60.0
    """Seconds that a request may take, from its first byte to its answer."""
    max_in_flight: Count = 512
    """Requests that are answered or wait, per pod; of several models one has at most four times as
    many as are free."""
    client_max_in_flight: Count | None = None
    """Requests that are answered or wait, per credential; None is no limit of its own."""
    drain_s: Pause = 0.0
    """Seconds after SIGTERM in which requests are still accepted."""
    model_failure_status: Status = 502
    """HTTP status when the model's own code raises."""
    workers: Count = 1
    """Processes that answer at the same address; what is told per pod is divided among them."""
    threads: Count | None = None
    """Threads that models run in, per pod, as many more for long calls; None is the CPU quota."""
    api_keys: ApiKeys | None = None
    """Keys that callers may show, comma-separated; None, and no file of them, is open to all."""
    api_keys_file: ReadablePath | None = None
    """Path of a file with further keys."""
    admin_keys: ApiKeys | None = None
    """Keys for the admin routes, comma-separated; they may score too. None answers 403 there."""
    jwt_issuer: Issuers | None = None
    """Issuers of tokens that callers may show, comma-separated; None takes no tokens."""
    jwt_audience: Texts | None = None
    """Audiences of those tokens, comma-separated; needed with an issuer."""
    jwt_roles: Texts | None = None
    """App roles or scopes of which a token must have one; None asks for none."""
    metrics_open: Flag = True
    """`/metrics` is answered without a credential."""
    log_level: LogLevel = "info"
    """The least severe lines that are logged."""
    log_format: LogFormat | None = None
    """Form of a log line; None is text on a terminal and json elsewhere."""
    telemetry: Telemetry = "opentelemetry"
    """What sends to Application Insights: opentelemetry or opencensus."""
    azure: AzureSettings = AzureSettings()
    """Variables that other tools named: who and where this process is in Azure."""
    insights: InsightsSettings = InsightsSettings()
    """Variables that other tools named: where traces go."""
    drop_in: DropInSettings | None = None
    """Variables that another server named, for which this one stands in."""
    cors_origins: tuple[str, ...] = ()
    """AML_CORS_ORIGINS: whose pages may read answers."""
    reloads: bool = False
    """`aml-serve serve --reload`: models are loaded again when their files change."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed in, so that nothing depends on the process by accident."""
        return (init_settings,)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """The settings that `environ` and the configuration file named there give.

        Raises: SettingsError with every fault.
        """
        fields = {PREFIX + name.upper(): name for name in cls.model_fields if name not in _FOREIGN}
        named = {
            name: value
            for name, value in environ.items()
            if name.startswith(PREFIX) and not _is_injected(name, value, name in fields)
        }
        unknown = [_unknown_line(name, fields) for name in sorted(named.keys() - fields.keys())]
        values: dict[str, Any] = {"cache_dir": _cache_dir(environ)}
        values |= {fields[name]: value for name, value in named.items() if name in fields and value}
        values["azure"] = AzureSettings.of(environ)
        values["cors_origins"] = origins(environ)
        drop_in = DropInSettings.of(environ)
        if drop_in is not None:
            values = {**_as_upstream(drop_in), **values, "drop_in": drop_in}
        try:
            settings = cls(**values, insights=InsightsSettings.of(environ))
        except ValidationError as error:
            raise SettingsError(*unknown, *_lines(error)) from error
        if settings.jwt_issuer and not settings.jwt_audience:
            unknown.append("SERVE_JWT_AUDIENCE is empty; allowed: whom the issuer's tokens are for")
        if unknown:
            raise SettingsError(*unknown)
        return settings

    def require_registry(self) -> RegistrySettings:
        """The default one: SERVE_REGISTRY, else the workspace, else the first of the file.

        Raises: SettingsError: there is none, and so nothing to serve.
        """
        if self.drop_in is not None:
            place = quote(str(self.drop_in.root))
            return RegistrySettings(f"script://{place}#{self.drop_in.model}")
        if self.registry is not None:
            return RegistrySettings(self.registry)
        if self.azure.has_workspace:
            return RegistrySettings(WORKSPACE)
        if self.registries:
            return next(iter(self.registries.values()))
        raise SettingsError(
            "SERVE_REGISTRY is not set: name a folder of models, e.g. file:///models, or set "
            "SUBSCRIPTION_ID, RESOURCE_GROUP and WORKSPACE_NAME of an Azure ML workspace"
        )

    @property
    def named_models(self) -> tuple[ModelSettings, ...] | None:
        """Models of the file, then those of SERVE_MODELS that it lacks; None if neither has any."""
        if self.drop_in is not None:
            return (ModelSettings(name=self.drop_in.model),)
        listed = self.config.models if self.config else ()
        names = {model.name for model in listed}
        chosen = (choice for choice in self.models or () if choice.name not in names)
        models = (*listed, *(ModelSettings(name=c.name, version=c.version) for c in chosen))
        return models or None

    @property
    def registries(self) -> Mapping[str, RegistrySettings]:
        """Registries of the file, by name."""
        return self.config.registries if self.config else {}


def _as_upstream(drop_in: DropInSettings) -> dict[str, Any]:
    """What differs from our defaults."""
    longest_s = drop_in.timeout_ms / 1e3 + _GRACE_S
    return {"model_failure_status": "500", "timeout_s": str(longest_s)}


def _is_injected(name: str, value: str, is_setting: bool) -> bool:
    return bool(_INJECTED.search(name)) and (not is_setting or value.startswith(_ADDRESSES))


def _unknown_line(name: str, known: Iterable[str]) -> str:
    near = near_name(name, known, prefix=PREFIX)
    return f"{printable(name)} is an unknown variable; allowed: those in docs/settings.md{near}"


def _lines(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        inner = fault.get("ctx", {}).get("error")
        if isinstance(inner, SettingsError):  # of the configuration file
            yield from inner.lines
        else:
            name, *items = fault["loc"]
            place = PREFIX + str(name).upper() + "".join(f"[{item}]" for item in items)
            yield fault_line(place, {**fault, "input": _meant(fault["input"])})


def _meant(value: object) -> object:
    """The number that a text stands for, or else `value`; a variable can only be text."""
    if isinstance(value, str):
        for number in (int, float):
            with suppress(ValueError):
                return number(value)
    return value
