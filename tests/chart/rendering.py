"""The chart as helm renders it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.server import ROOT

CHART = ROOT / "charts/aml-serve"
RELEASE = "models"
NAMESPACE = "ml"

Manifest = dict[str, Any]


def helm(
    *arguments: str, home: Path | None = None, stdin: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """helm from the environment that runs the tests; reads no configuration of the user's.

    `home` holds the kubeconfig, `config`, of a cluster.
    """
    done = subprocess.run(
        [helm_program(), *arguments],
        cwd=ROOT,
        env=environment(home or Path(tempfile.gettempdir()) / "no-helm"),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def environment(home: Path) -> dict[str, str]:
    """All that helm reads and writes is below `home`."""
    homes = {f"HELM_{name}_HOME": str(home / name) for name in ("CACHE", "CONFIG", "DATA")}
    kube = {"KUBECONFIG": str(home / "config"), "KUBECACHEDIR": str(home / "kube")}
    return {"PATH": os.environ["PATH"], "HOME": str(home), **homes, **kube}


@cache
def helm_program() -> str:
    """Where it is; with none the test is skipped."""
    beside = Path(sys.executable).parent
    found = shutil.which("helm", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("helm is not installed")
    return found


def render(*options: str, values: Mapping[str, Any] | None = None) -> list[Manifest]:
    """All manifests, in helm's order; `options` as in `--set`, or `-f FILE`."""
    return _rendered(options, "" if values is None else yaml.safe_dump(dict(values)))


@cache
def _rendered(options: tuple[str, ...], values: str) -> list[Manifest]:
    words = [word for option in options for word in _words(option)]
    given = ["--values", "-"] if values else []
    text = helm(
        "template", RELEASE, str(CHART), "--namespace", NAMESPACE, *words, *given, stdin=values
    ).stdout
    return [each for each in yaml.safe_load_all(text) if each]


def _words(option: str) -> Iterable[str]:
    return ("-f", str(CHART / option)) if option.endswith(".yaml") else ("--set", option)


def refused(*options: str) -> str:
    """Why helm does not render this."""
    words = [word for option in options for word in _words(option)]
    done = helm("template", RELEASE, str(CHART), *words, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr


def only(manifests: Iterable[Manifest], kind: str, name: str = "") -> Manifest:
    """The one of `kind`, or of several the one whose name ends so."""
    found = [
        each
        for each in manifests
        if each["kind"] == kind and each["metadata"]["name"].endswith(name)
    ]
    assert len(found) == 1, [each["metadata"]["name"] for each in found]
    return found[0]


def kinds(manifests: Iterable[Manifest]) -> set[str]:
    return {each["kind"] for each in manifests}


def first(manifests: Iterable[Manifest], kind: str, name: str = "") -> Manifest:
    """Of several the one that helm puts first, which is that of the stable track."""
    return next(
        each
        for each in manifests
        if each["kind"] == kind and each["metadata"]["name"].endswith(name)
    )


def pod(manifests: Iterable[Manifest], name: str = "") -> Manifest:
    """The pod template of a Deployment."""
    found: Manifest = first(manifests, "Deployment", name)["spec"]["template"]
    return found


def container(manifests: Iterable[Manifest], name: str = "") -> Manifest:
    """The server's."""
    found: Manifest = pod(manifests, name)["spec"]["containers"][0]
    return found
