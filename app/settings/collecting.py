"""The keys of `collect`: what of a model's requests and answers is written down, and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from app.settings.values import Allowed, VariableName, registry_url, wrong

COLLECT_URL = (
    "file:///PATH of a folder, or https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]"
)
SALT_LENGTH: Final = 8
"""Characters, at least."""
_SALT = "text of at least 8 characters, needed with columns.hash"
_SALT_VARIABLE = "the name of the variable that holds it"


def _url(text: str) -> str:
    if urlsplit(text).scheme not in ("file", "https"):
        raise ValueError(COLLECT_URL)
    return registry_url(text)


CollectUrl = Annotated[str, AfterValidator(_url), Allowed(COLLECT_URL)]
Sample = Annotated[
    float,
    Field(strict=True, ge=0, le=1, allow_inf_nan=False),
    Allowed("a share as a number from 0 to 1"),
]
ColumnName = Annotated[
    str, Field(strict=True, min_length=1), Allowed("the name of an input or output")
]
Salt = Annotated[str, Field(strict=True, min_length=SALT_LENGTH), Allowed(_SALT)]


@dataclass(frozen=True, slots=True)
class ColumnsSettings:
    """Inputs and outputs that are not written as they are."""

    drop: tuple[ColumnName, ...] = ()
    """Left out."""
    hash: tuple[ColumnName, ...] = ()
    """Only a keyed hash of each value is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectSettings:
    """Data collection of one model."""

    to: CollectUrl
    """Where to."""
    sample: Sample = 1.0
    """Share of the requests."""
    columns: ColumnsSettings = ColumnsSettings()
    salt: Salt | None = field(default=None, repr=False)
    """The key of the hashes."""
    salt_variable: VariableName | None = None
    """The environment variable that holds it, in place of `salt`."""


def salted(collect: CollectSettings) -> CollectSettings:
    """Itself.

    Raises: PydanticCustomError: there are hashes without a key, with two, or of a dropped column.
    """
    keys = [key for key in (collect.salt, collect.salt_variable) if key is not None]
    if collect.columns.hash and not keys:
        raise wrong("without salt", f"salt: {_SALT}, or salt_variable: {_SALT_VARIABLE}")
    if len(keys) > 1:
        raise wrong("with salt and salt_variable", "one of them")
    if set(collect.columns.hash) & set(collect.columns.drop):
        raise wrong("a column to drop and to hash", "each column under one of them")
    return collect
