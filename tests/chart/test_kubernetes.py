"""Whatever is rendered, Kubernetes takes: from 1.27 to 1.33, every field known."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from tests.chart.matrix import ALL, EXAMPLES
from tests.chart.rendering import CHART, Manifest, helm, render
from tests.server import ROOT

VERSIONS = [f"1.{minor}" for minor in range(27, 34)]
OWN: dict[str, Any] = yaml.safe_load((ROOT / "tests/chart/crds.yaml").read_text())
FOREIGN = (".coreos.com", "keda.sh", "gateway.networking.k8s.io", "istio.io", "envoyproxy.io")
"""API groups that are not Kubernetes' own."""

utils.schema_contents = cache(utils.schema_contents)  # else read anew for every manifest


@cache
def faults(manifest: str, version: str) -> str:
    """Why Kubernetes does not take it; the same manifest comes from many ways to install."""
    document = json.loads(manifest)
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{document['kind']} {'.'.join(map(str, error.path))}: {error.message}"
    return ""


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_chart_has_no_lint(example: str) -> None:
    files = [f"--values={CHART}/{file}" for file in EXAMPLES[example]]

    helm("lint", "--strict", str(CHART), *files)


@pytest.mark.parametrize("way", ALL)
def test_kubernetes_takes_what_is_rendered(way: str) -> None:
    ours = [json.dumps(each) for each in render(*ALL[way]) if not is_foreign(each)]
    found = {faults(each, version) for each in ours for version in VERSIONS}

    assert found == {""}


@pytest.mark.parametrize("way", ALL)
def test_what_is_not_of_kubernetes_fits_its_own_schema(way: str) -> None:
    for each in filter(is_foreign, render(*ALL[way])):
        schema = OWN[f"{each['apiVersion']} {each['kind']}"]
        jsonschema_rs.validate(schema, each["spec"])
        assert each.keys() == {"apiVersion", "kind", "metadata", "spec"}
        assert each["metadata"].keys() <= {"name", "namespace", "labels", "annotations"}


def test_each_own_schema_is_needed() -> None:
    rendered = [each for options in ALL.values() for each in render(*options)]

    assert {f"{each['apiVersion']} {each['kind']}" for each in rendered if is_foreign(each)} == (
        OWN.keys()
    )


@pytest.mark.parametrize("way", ALL)
def test_names_are_unique_and_short_enough(way: str) -> None:
    named = [(each["kind"], each["metadata"]["name"]) for each in render(*ALL[way])]
    long = render(*ALL[way], "fullnameOverride=" + "x" * 80)

    assert len(named) == len(set(named))
    assert all(len(each["metadata"]["name"]) <= 63 for each in long)


def test_the_package_is_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("package")

    helm("package", str(CHART), "--destination", str(folder))

    assert [file.suffix for file in folder.iterdir()] == [".tgz"]


def is_foreign(manifest: Manifest) -> bool:
    group = manifest["apiVersion"].partition("/")[0]
    return str(group).endswith(FOREIGN)
