"""Names that scripts import and that need not be installed: they lead to modules from here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

_REQUEST, _RESPONSE = "aml_request", "aml_response"
_ROOTS: Final = ("azureml.contrib.services", "azureml_inference_server_http.api")
LEAVES: Final = {f"{root}.{leaf}": leaf for root in _ROOTS for leaf in (_REQUEST, _RESPONSE)}
"""Name -> module of this package; even where those packages are installed, so that all is one."""
_MONITORING: Final = "azureml.ai.monitoring"
MONITORING: Final = {_MONITORING: "monitoring", f"{_MONITORING}.context": "monitoring_context"}
"""Likewise, unless its variables name another receiver: then it is for the installed package."""
_FOLDERS: Final = frozenset(
    root.rsplit(".", depth)[0]
    for root in (*_ROOTS, "azureml.ai")
    for depth in range(root.count(".") + 1)
)


class _Folder(Loader):
    """A package with nothing in it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        return None


class _Leaf(Loader):
    def __init__(self, module: str) -> None:
        self._module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__dict__.update(vars(import_module(f".{self._module}", __package__)))
        return module

    def exec_module(self, module: ModuleType) -> None:
        return None


class Leaves(MetaPathFinder):
    """Of the modules themselves; goes before all others."""

    def __init__(self, leaves: Mapping[str, str]) -> None:
        self._leaves = leaves

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        leaf = self._leaves.get(fullname)
        if leaf is None:
            return None
        return ModuleSpec(fullname, _Leaf(leaf), is_package=fullname == _MONITORING)


class Folders(MetaPathFinder):
    """Of the packages around them, where nothing that is installed has them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        if fullname not in _FOLDERS:
            return None
        return ModuleSpec(fullname, _Folder(), is_package=True)


def provide() -> None:
    """From now on."""
    is_enabled = os.environ.get("AZUREML_MDC_ENABLED", "").lower() == "true"
    has_receiver = is_enabled or bool(os.environ.get("AZUREML_MDC_CONFIG_PATH"))
    sys.meta_path.insert(0, Leaves(LEAVES if has_receiver else {**LEAVES, **MONITORING}))
    sys.meta_path.append(Folders())
