"""The kinds of values that settings have, and the words for one that is wrong.

Not here: which variables there are (`variables`) and which keys the file has (`file`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, StrictBool
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from app.quantities import BYTES, parse_bytes

MODEL_NAME = "letters, digits, '.', '_' and '-', at most 255, neither '.' nor '..'"
MODEL_CHOICE = f"name, name:version or name:latest, each of {MODEL_NAME}"
REGISTRY_URL = (
    "the path of a folder, plain or as file:///path; azureml://workspace; "
    "azureml://registries/NAME; https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]"
)
IDENTITY = "auto, workload, secret, managed, managed:CLIENT_ID or cli"
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,255}")
_PLACES = {
    "file": re.compile(r"/.*", re.DOTALL),
    "azureml": re.compile(r"workspace/?|registries/[A-Za-z0-9._-]{1,255}/?"),
    "https": re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?/[^/?#]+[^#]*"),
}
"""Scheme of a registry's URL -> what may follow."""
_NOWHERE = re.compile(r"(?!)")
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),  # before int, which it is too
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (date, "a date"),
    (list, "a list"),
    (dict, "a mapping"),
)


class SettingsError(ValueError):
    """Settings that cannot be served with; `lines` holds one per fault, and never a value."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Allowed:
    """Annotates a type with what it allows, which becomes the message of each of its errors."""

    text: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The schema of `source`, under one message."""
        return core_schema.custom_error_schema(
            handler(source), custom_error_type="allowed", custom_error_message=self.text
        )


def wrong(kind: str, allowed: str) -> PydanticCustomError:
    """The error for a validator that can say more of a value than its type."""
    return PydanticCustomError("allowed", "{allowed}", {"kind": kind, "allowed": allowed})


def unreadable(error: OSError, allowed: str) -> PydanticCustomError:
    """The error for a path that could not be opened."""
    return wrong(f"a path that cannot be read ({error.strerror})", allowed)


def fault_line(place: str, fault: ErrorDetails) -> str:
    """The line for one pydantic error at `place`."""
    kind = fault.get("ctx", {}).get("kind") or kind_of(fault["input"])
    return f"{place} is {kind}; allowed: {fault['msg']}"


def kind_of(value: object) -> str:
    """The kind of `value` in words; never the value, for it may be a secret."""
    if value is None or value == "":
        return "empty"
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "something else")


def near_name(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of a line: offers the known name most like `name`, or is empty.

    A `prefix` that all names have is not compared, for it would make any two alike.
    """
    short = [each.removeprefix(prefix) for each in known]
    matches = difflib.get_close_matches(name.removeprefix(prefix), short, n=1)
    return f"; did you mean {prefix}{matches[0]}?" if matches else ""


def printable(name: str) -> str:
    """A name that somebody else chose, cut and escaped so that it stays on its line."""
    return name if _SEGMENT.fullmatch(name) else repr(name[:100])


def path_segment(text: str) -> str:
    """A model's name or version, safe as one segment of a path.

    Raises: ValueError.
    """
    if not _SEGMENT.fullmatch(text) or text in {".", ".."}:
        raise ValueError(MODEL_NAME)
    return text


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model by its name; `version` None is the latest."""

    name: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of `name`, `name:version` or `name:latest`.

        Raises: ValueError.
        """
        name, colon, version = text.partition(":")
        path_segment(name)
        return cls(name, None if not colon or version == "latest" else path_segment(version))


def registry_url(text: str) -> str:
    """As it is. Raises: ValueError: no registry has such a one."""
    scheme, separator, rest = text.partition("://")
    is_right = text if not separator else _PLACES.get(scheme, _NOWHERE).fullmatch(rest)
    if not is_right:
        raise ValueError(REGISTRY_URL)
    return text


def _identity(text: str) -> str:
    if not re.fullmatch(r"auto|workload|secret|managed(:[A-Za-z0-9-]{1,64})?|cli", text):
        raise ValueError(IDENTITY)
    return text


def _size(value: object) -> object:
    return parse_bytes(value) if isinstance(value, str) else value


def _sha256(value: object) -> object:
    return [value] if isinstance(value, str) else value


ModelName = Annotated[str, AfterValidator(path_segment), Allowed(MODEL_NAME)]
RegistryUrl = Annotated[str, AfterValidator(registry_url), Allowed(REGISTRY_URL)]
Identity = Annotated[str, AfterValidator(_identity), Allowed(IDENTITY)]
Size = Annotated[int, BeforeValidator(_size), Field(strict=True, ge=1), Allowed(BYTES)]
TrustRule = Annotated[Literal["all", "pinned", "none"], Allowed("all, pinned or none")]
Digests = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...],
    BeforeValidator(_sha256),
    Allowed("64 hexadecimal digits in lower case, or a list of such"),
]
Share = Annotated[
    float,
    Field(strict=True, ge=0, allow_inf_nan=False),
    Allowed("a share as a number from 0"),
]
HeaderName = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z0-9-]{1,100}$"),
    Allowed("the name of a header: letters, digits and '-'"),
]
VariableName = Annotated[
    str,
    Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,254}$"),
    Allowed("the name of an environment variable, without its value"),
]
Flag = Annotated[StrictBool, Allowed("true or false")]
Count = Annotated[int, Field(strict=True, ge=1), Allowed("a whole number from 1")]
Seconds = Annotated[
    float,
    Field(strict=True, gt=0, allow_inf_nan=False),
    Allowed("seconds as a number above 0"),
]
Accelerate = Annotated[
    Literal["off", "verify", "shadow"],
    BeforeValidator(lambda value: "off" if value is False else value),  # what YAML makes of off
    Allowed("off, verify or shadow"),
]
