"""The configuration file that SERVE_CONFIG names: its keys, and how it is read.

Not here: environment variables, and what the two say together (`variables`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from app.settings.collecting import COLLECT_URL, CollectSettings, ColumnsSettings, salted
from app.settings.values import (
    MODEL_CHOICE,
    MODEL_NAME,
    REGISTRY_URL,
    Accelerate,
    Allowed,
    Count,
    Digests,
    Flag,
    HeaderName,
    Identity,
    ModelChoice,
    ModelName,
    RegistryUrl,
    Seconds,
    SettingsError,
    Share,
    Size,
    TrustRule,
    VariableName,
    fault_line,
    kind_of,
    near_name,
    path_segment,
    printable,
    unreadable,
    wrong,
)

MAX_FILE_BYTES = 1024 * 1024
CONFIG_FILE = "the path of a YAML file of at most 1 MiB"


@dataclass(slots=True)
class _Around:
    """What an entry is checked against besides its own keys."""

    registries: tuple[str, ...]
    seen: set[ModelChoice] = field(default_factory=set)


def _around(info: ValidationInfo) -> _Around:
    assert isinstance(info.context, _Around)
    return info.context


def _version(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return None if value == "latest" else value


def _defined(name: str, info: ValidationInfo) -> str:
    around = _around(info)
    if name not in around.registries:
        allowed = "a name under registries: " + (", ".join(around.registries) or "there is none")
        raise wrong("an unknown name", allowed + near_name(name, around.registries))
    return name


Version = Annotated[
    Annotated[str, AfterValidator(path_segment)] | None,
    BeforeValidator(_version),
    Allowed(f"latest, a whole number, or in quotes {MODEL_NAME}"),
]
ExactVersion = Annotated[
    Annotated[str, AfterValidator(path_segment)],
    BeforeValidator(lambda value: _version(value) or ""),
    Allowed(f"a whole number, or in quotes {MODEL_NAME}"),
]


@dataclass(frozen=True, slots=True)
class BatchingSettings:
    """How calls of one model are joined."""

    max_rows: Count | None = None
    """Rows of one joined call at most; 1 joins nothing, None leaves it to the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """What the operator wants of one model."""

    name: ModelName
    """As registered."""
    registry: Annotated[ModelName, AfterValidator(_defined)] | None = None
    """One of `registries`; None is SERVE_REGISTRY."""
    version: Version = None
    """Exact; None is the latest."""
    preload: Flag = True
    """Loaded at start, not on its first request."""
    required: Flag = True
    """The service is not ready without it; not set in the file: as `preload`."""
    pin: Flag = False
    """Stays in memory."""
    sha256: Digests = ()
    """Digests of model folders whose code may run under `trust: pinned`."""
    labels: dict[ModelName, ExactVersion] = field(default_factory=dict)
    """Names for versions, which requests may give in place of them."""
    traffic: dict[ExactVersion, Share] = field(default_factory=dict)
    """Shares of the requests that name no version, by version; none: one version has them all."""
    traffic_by: HeaderName | None = None
    """The header whose value decides; None is the request id."""
    shadow: ExactVersion | None = None
    """A version that is asked the same, and only compared."""
    batching: BatchingSettings = BatchingSettings()
    threads: Count | None = None
    """Threads of its runtime; None leaves it to the server."""
    timeout_s: Seconds | None = None
    """Deadline of a request in seconds; None is SERVE_TIMEOUT_S."""
    memory_bytes: Size | None = None
    """What it counts as in memory; None is what it is measured to take."""
    environment: tuple[VariableName, ...] = ()
    """Names of variables that its script sees although they look like secrets."""
    accelerate: Accelerate = "off"
    """Whether the ONNX form of a scikit-learn model answers, or is compared, where it is equal."""
    collect: Annotated[CollectSettings, AfterValidator(salted)] | None = None
    """Where requests and answers are written down; None: nowhere."""


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """One place where models come from."""

    url: RegistryUrl
    """As SERVE_REGISTRY."""
    trust: TrustRule | None = None
    """Whose code may run: None is SERVE_TRUST, else by where the registry is."""
    identity: Identity | None = None
    """Who asks; None is SERVE_IDENTITY."""


def _completed(item: object) -> object:
    if isinstance(item, str):
        try:
            item = dataclasses.asdict(ModelChoice.parse(item))
        except ValueError as error:
            raise wrong(kind_of(item), MODEL_CHOICE) from error
    if isinstance(item, dict) and isinstance(item.get("preload"), bool):
        return {"required": item["preload"], **item}
    return item


def _named_once(model: ModelSettings, info: ValidationInfo) -> ModelSettings:
    around = _around(info)
    choice = ModelChoice(model.name, model.version)
    if choice in around.seen:
        raise wrong("a name and version for the second time", "each once")
    around.seen.add(choice)
    return model


@dataclass(frozen=True, slots=True)
class _Contents:
    models: tuple[
        Annotated[ModelSettings, BeforeValidator(_completed), AfterValidator(_named_once)], ...
    ] = ()
    registries: dict[ModelName, RegistrySettings] = field(default_factory=dict)

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", hide_input_in_errors=True
    )


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration file as it was when read."""

    path: Path
    models: tuple[ModelSettings, ...]
    registries: Mapping[str, RegistrySettings]

    def again(self) -> ConfigFile:
        """What it says now; blocking. Raises: SettingsError."""
        try:
            return read_config(self.path)
        except PydanticCustomError as error:
            kind = (error.context or {}).get("kind", "a path that cannot be read")
            raise SettingsError(f"SERVE_CONFIG is {kind}; allowed: {CONFIG_FILE}") from error


def read_config(path: Path) -> ConfigFile:
    """What the file at `path` says; blocking.

    Raises: SettingsError with every fault of its contents; PydanticCustomError when there is
    no reading it at all, for then the variable is at fault.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise unreadable(error, CONFIG_FILE) from error
    if len(text) > MAX_FILE_BYTES:
        raise wrong("the path of a file over 1 MiB", CONFIG_FILE)
    document = _parse(text, path.name)
    registries = document.get("registries") if isinstance(document, dict) else None
    named = registries if isinstance(registries, dict) else {}
    around = _Around(tuple(printable(str(name)) for name in named))
    try:
        contents = TypeAdapter(_Contents).validate_python(document, context=around)
    except ValidationError as error:
        raise SettingsError(*_lines(error, path.name)) from error
    return ConfigFile(path, contents.models, contents.registries)


def _parse(text: bytes, file: str) -> Any:
    import yaml  # not needed by those who have no file

    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(f"{file}{line} is not YAML; allowed: a YAML mapping") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML lets the last four out: wrong dates and numbers, wrong tags, deep nesting.
        raise SettingsError(f"{file} is not YAML; allowed: a YAML mapping") from error
    return {} if document is None else document


# What pydantic would say in words of Python.
_CONTAINERS = {"dataclass_type": "a mapping", "dict_type": "a mapping", "tuple_type": "a list"}
_REQUIRED = {"name": MODEL_NAME, "url": REGISTRY_URL, "to": COLLECT_URL}


def _lines(error: ValidationError, file: str) -> Iterator[str]:
    for fault in error.errors():
        path = fault["loc"]
        if fault["type"] == "allowed" and path[-1] == "[key]":  # of a name, not of what it names
            path = path[:-1]
        place = f"{file}: {_dotted(path)}" if path else file
        match fault["type"]:
            case "missing":
                yield f"{place} is missing; allowed: {_REQUIRED[str(path[-1])]}"
            case "unexpected_keyword_argument" | "invalid_key":
                keys = _keys(path[:-1])
                near = near_name(str(path[-1]), keys)
                yield f"{place} is an unknown key; allowed: {', '.join(keys)}{near}"
            case kind:
                yield fault_line(place, {**fault, "msg": _CONTAINERS.get(kind, fault["msg"])})


def _keys(path: tuple[int | str, ...]) -> list[str]:
    """The keys of the mapping at `path`."""
    match path:
        case ():
            kind: type = _Contents
        case ("registries", _):
            kind = RegistrySettings
        case (*_, "batching"):
            kind = BatchingSettings
        case (*_, "collect"):
            kind = CollectSettings
        case (*_, "columns"):
            kind = ColumnsSettings
        case _:
            kind = ModelSettings
    return [each.name for each in dataclasses.fields(kind)]


def _dotted(path: tuple[int | str, ...]) -> str:
    """`("models", 1, "name")` as `models[1].name`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in path]
    return "".join(parts).removeprefix(".")
