"""The kinds of values that environment variables have: how each is read, and what it allows.

Not here: which variables there are (`variables`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr

from app.settings.file import ConfigFile, read_config
from app.settings.values import (
    MODEL_CHOICE,
    Allowed,
    ModelChoice,
    unreadable,
    wrong,
)


def _items(value: object) -> object:
    if not isinstance(value, str):
        return value
    items = [item.strip() for item in value.split(",") if item.strip()]
    if not items:
        raise wrong("a list of nothing", "one or more, comma-separated")
    return items


def _choice(value: object) -> object:
    return ModelChoice.parse(value) if isinstance(value, str) else value


def _each_once(choices: tuple[ModelChoice, ...]) -> tuple[ModelChoice, ...]:
    if len(set(choices)) < len(choices):
        raise wrong("a list that repeats itself", "each name and version once")
    return choices


def _visible(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", key.get_secret_value()):
        raise ValueError
    return key


def _config(value: object) -> object:
    return read_config(Path(value)) if isinstance(value, str | Path) else value


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise unreadable(error, "the path of a file that can be read") from error
    return path


Host = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._:%-]+$"), Allowed("an IP address or a host name")
]
Port = Annotated[int, Field(ge=0, le=65535), Allowed("a whole number from 0 to 65535")]
NoPort = Annotated[int, Field(ge=0, le=0), Allowed("0 only, for this version does not speak gRPC")]
Flag = Annotated[bool, Allowed("true, false, 1, 0, yes, no, on or off")]
Count = Annotated[int, Field(ge=1), Allowed("a whole number from 1")]
Timeout = Annotated[float, Field(gt=0, allow_inf_nan=False), Allowed("seconds as a number above 0")]
Pause = Annotated[float, Field(ge=0, allow_inf_nan=False), Allowed("seconds as a number from 0")]
STEP_BACK = "off, or as in: errors: 5 %, 300 s"


@dataclass(frozen=True, slots=True)
class StepBackSettings:
    """When a newer version has to make way for the one before it."""

    margin: float
    """Failure rate above that of the version before, 0 to 1."""
    window_s: float
    """Seconds after the switch."""


def _step_back(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"errors:\s*([0-9.]{1,6})\s*%,\s*([0-9.]{1,9})\s*s", value.strip())
    if value.strip() == "off":
        return None
    if match is None or float(match[1]) > 100:
        raise ValueError
    return StepBackSettings(float(match[1]) / 100, float(match[2]))


StepBack = Annotated[StepBackSettings | None, BeforeValidator(_step_back), Allowed(STEP_BACK)]
Status = Annotated[Literal[502, 500], BeforeValidator(int), Allowed("502 or 500")]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], Allowed("debug, info, warning or error")
]
LogFormat = Annotated[Literal["json", "text"], Allowed("json or text")]
Choice = Annotated[ModelChoice, PlainValidator(_choice), Allowed(MODEL_CHOICE)]
Choices = Annotated[tuple[Choice, ...], BeforeValidator(_items), AfterValidator(_each_once)]
ConfigPath = Annotated[ConfigFile, PlainValidator(_config)]
ReadablePath = Annotated[Path, AfterValidator(_readable)]
ApiKey = Annotated[
    SecretStr, AfterValidator(_visible), Allowed("visible ASCII characters, no space among them")
]
ApiKeys = Annotated[tuple[ApiKey, ...], BeforeValidator(_items)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_items)]
Issuer = Annotated[str, Field(pattern=r"^https://[^\s,]+$"), Allowed("an https:// URL")]
Issuers = Annotated[tuple[Issuer, ...], BeforeValidator(_items)]
AzuremlClient = Annotated[Literal["rest", "sdk"], Allowed("rest or sdk")]
Telemetry = Annotated[
    Literal["opentelemetry", "opencensus"], Allowed("opentelemetry or opencensus")
]
