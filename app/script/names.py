"""Names that scripts import and that need not be installed: they lead to modules from here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

_REQUEST, _RESPONSE = "aml_request", "aml_response"
_ROOTS: Final = ("azureml.contrib.services", "azureml_inference_server_http.api")
LEAVES: Final = {f"{root}.{leaf}": leaf for root in _ROOTS for leaf in (_REQUEST, _RESPONSE)}
"""Name -> module of this package; even where those packages are installed, so that all is one."""
_FOLDERS: Final = frozenset(
    root.rsplit(".", depth)[0] for root in _ROOTS for depth in range(root.count(".") + 1)
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

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `MetaPathFinder`."""
        leaf = LEAVES.get(fullname)
        return None if leaf is None else ModuleSpec(fullname, _Leaf(leaf))


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
    sys.meta_path.insert(0, Leaves())
    sys.meta_path.append(Folders())
