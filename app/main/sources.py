"""Where models come from, by the settings: registries, who asks them, what is wanted of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from app.azure.access import Access, Given
from app.catalog import Lineup, Wanted
from app.collecting.rule import Rule
from app.manifest import Script
from app.pool import Options
from app.registries import Registry, open_registry
from app.registries.local import LocalRegistry
from app.settings import SALT_LENGTH, CollectSettings, ModelSettings, Settings, SettingsError
from app.trust import Trust

_OURS: Final = ("file:", "script:", "azureml://workspace")
"""Places whose models are the operator's own."""

logger = logging.getLogger(__name__)


def access(settings: Settings) -> Access:
    """Which Azure, and who asks it."""
    azure = settings.azure
    if azure.has_older_names:
        logger.warning(
            "TENANT_ID, CLIENT_ID and CLIENT_SECRET are taken as AZURE_TENANT_ID, AZURE_CLIENT_ID "
            "and AZURE_CLIENT_SECRET, which other clients of Azure read"
        )
    return Access(Given(**azure.told(), client=settings.azureml_client))


def registries(settings: Settings, access: Access) -> dict[str, Registry]:
    """By name; the first is the default one, the only one that must be there at the start.

    Raises:
        SettingsError: it is a folder that cannot be read.
        ValueError: the URL of a registry is of no known kind, or lacks what it needs.
    """
    first = settings.require_registry()
    identity = first.identity or settings.identity
    default = open_registry("default", first.url, access, identity)
    if isinstance(default, LocalRegistry):
        try:
            os.listdir(default.folder)
        except OSError as error:
            raise SettingsError(
                f"SERVE_REGISTRY is a path that cannot be read ({error.strerror}); "
                "allowed: a folder of models"
            ) from error
    opened: dict[str, Registry] = {"default": default}
    for name, registry in settings.registries.items():
        identity = registry.identity or settings.identity
        opened[name] = open_registry(name, registry.url, access, identity)
    return opened


def trust(settings: Settings, registry: str | None, digests: Sequence[str]) -> Trust:
    """As the file says of the registry, else SERVE_TRUST, else by whose place it is."""
    place = settings.registries[registry] if registry else settings.require_registry()
    is_ours = "://" not in place.url or place.url.startswith(_OURS)
    rule = place.trust or settings.trust or ("all" if is_ours else "pinned")
    return Trust(rule, frozenset(digests))


def chosen(name: str, version: str | None, settings: Settings) -> Wanted:
    """What the operator says of a model that was named by hand; nothing where it is not listed."""
    listed = [model for model in settings.named_models or () if model.name == name]
    exact = [model for model in listed if model.version == version] or listed
    model = exact[0] if exact else ModelSettings(name=name)
    return wanted(replace(model, version=version or model.version), settings)


def wanted(model: ModelSettings, settings: Settings) -> Wanted:
    """What the operator says of one model, for the catalog.

    Raises: SettingsError: it names a variable that is not set.
    """
    return Wanted(
        name=model.name,
        version=model.version,
        registry=model.registry or "",
        is_preloaded=model.preload,
        is_required=model.required,
        lineup=Lineup(
            labels=model.labels,
            traffic=model.traffic,
            traffic_by=(model.traffic_by or "").lower().encode(),
            shadow=model.shadow or "",
        ),
        options=Options(
            is_pinned=model.pin,
            max_rows=model.batching.max_rows,
            threads=settings.drop_in.workers if settings.drop_in else model.threads,
            timeout_s=settings.drop_in.timeout_ms / 1e3 if settings.drop_in else model.timeout_s,
            trust=trust(settings, model.registry, model.sha256),
            accelerate=model.accelerate,
            memory_bytes=model.memory_bytes,
            environment=_passed(model),
            script=script(settings),
            collect=None if model.collect is None else _rule(model.name, model.collect),
        ),
    )


def _passed(model: ModelSettings) -> tuple[str, ...]:
    """Names only; their values are read when its processes begin."""
    unset = [name for name in model.environment if name not in os.environ]
    if unset:
        raise SettingsError(
            f"models, {model.name}: environment names {', '.join(unset)}, which is not set here; "
            "set it for this server, or take it off the list"
        )
    return model.environment


def script(settings: Settings) -> Script | None:
    """The one that this server stands in for another with; its process sees what that would."""
    given = settings.drop_in
    if given is None:
        return None
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SERVE_")}
    environ["AML_APP_ROOT"] = str(given.root)
    if settings.reloads:  # bytecode of the second before, of as many bytes, is taken for today's
        environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return Script(given.entry, environ, given.imports, given.root)


def _rule(model: str, collect: CollectSettings) -> Rule:
    salt = collect.salt or ""
    if collect.salt_variable is not None:
        salt = os.environ.get(collect.salt_variable, "")
        if len(salt) < SALT_LENGTH:
            raise SettingsError(
                f"models, {model}: collect.salt_variable names {collect.salt_variable}, which is "
                f"not set here to a text of at least {SALT_LENGTH} characters"
            )
    return Rule(
        to=collect.to,
        sample=collect.sample,
        drop=frozenset(collect.columns.drop),
        hash=frozenset(collect.columns.hash),
        salt=salt.encode(),
    )
