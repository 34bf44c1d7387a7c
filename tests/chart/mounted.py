"""A container as a kubelet would run it, as a process here: its command, environment and folders.

Not here: limits, users and the read-only root, which need a real container.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart.rendering import Manifest


@dataclass(frozen=True, slots=True)
class Container:
    """One of a pod, whose volumes lie below `folder`."""

    spec: Manifest
    volumes: list[dict[str, Any]]
    manifests: list[Manifest]
    folder: Path

    def mount(self) -> None:
        """Write what ConfigMaps and Secrets hold; again: as a kubelet does when they change."""
        mounted = {mount["name"]: mount["mountPath"] for mount in self.spec["volumeMounts"]}
        for volume in self.volumes:
            home = self.folder / mounted.get(volume["name"], "nowhere").lstrip("/")
            home.mkdir(parents=True, exist_ok=True)
            if "configMap" in volume:
                _publish(home, self._object("ConfigMap", volume["configMap"]["name"])["data"])
            if "secret" in volume:
                wanted = {item["key"] for item in volume["secret"]["items"]}
                entries = self._secret(volume["secret"]["secretName"]).items()
                _publish(home, {k: v for k, v in entries if k in wanted})

    def environment(self) -> dict[str, str]:
        """Values, and what they refer to; paths lead into the folder."""
        found = {}
        for each in self.spec["env"]:
            if "value" in each:
                found[each["name"]] = self._inside(each["value"])
            else:
                reference = each["valueFrom"]["secretKeyRef"]
                found[each["name"]] = self._secret(reference["name"])[reference["key"]]
        return found

    def _inside(self, value: str) -> str:
        paths = [mount["mountPath"] for mount in self.spec["volumeMounts"]]
        is_ours = any(value == path or value.startswith(f"{path}/") for path in paths)
        return f"{self.folder}{value}" if is_ours else value

    def _object(self, kind: str, name: str) -> Manifest:
        return next(
            each
            for each in self.manifests
            if (each["kind"], each["metadata"]["name"]) == (kind, name)
        )

    def _secret(self, name: str) -> dict[str, str]:
        held = self._object("Secret", name)
        data = {k: base64.b64decode(v).decode() for k, v in held.get("data", {}).items()}
        return {**data, **held.get("stringData", {})}


def _publish(home: Path, files: dict[str, str]) -> None:
    """All at once: the files lie in a folder of their own, and one link to it changes."""
    fresh = home / f"..{len(list(home.iterdir()))}"
    fresh.mkdir()
    for name, text in files.items():
        (fresh / name).write_text(text)
        if not (home / name).is_symlink():
            (home / name).symlink_to(Path("..data") / name)
    (home / "..fresh").symlink_to(fresh.name)
    os.replace(home / "..fresh", home / "..data")


def container_of(
    spec: Manifest, manifests: Iterable[Manifest], folder: Path, name: str = ""
) -> Container:
    """The first container of a pod's `spec`, or the one of that name, mounted."""
    each = [*spec.get("initContainers", []), *spec["containers"]]
    found = next(c for c in each if c["name"] == name) if name else spec["containers"][0]
    made = Container({"volumeMounts": [], **found}, spec.get("volumes", []), [*manifests], folder)
    made.mount()
    return made
