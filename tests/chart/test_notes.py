"""What helm prints after an installation: commands that are right, of names that exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.chart.cluster import Cluster, running
from tests.chart.matrix import ALL, SP
from tests.chart.rendering import CHART, NAMESPACE, RELEASE, Manifest, helm, render

WAYS = (
    *("the defaults", "an ingress", "an ingress for all hosts", "a gateway", "a cluster address"),
    *("no keys", "everything at once", "production"),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def notes(cluster: Cluster, *options: str) -> str:
    words = [
        word
        for option in options
        for word in (("-f", f"{CHART}/{option}") if ".yaml" in option else ("--set", option))
    ]
    command = ("install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--dry-run=client")
    return helm(*command, *words, home=cluster.home).stdout.partition("\nNOTES:\n")[2]


def commands(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.startswith("  "))


def named(manifests: list[Manifest]) -> set[str]:
    return {f"{each['kind'].lower()} {each['metadata']['name']}" for each in manifests}


@pytest.mark.parametrize("way", WAYS)
def test_commands_are_right_and_of_names_that_exist(cluster: Cluster, way: str) -> None:
    text = commands(notes(cluster, *ALL[way]))
    asked = {" ".join(a) for a in re.findall(r"(service|secret|ingress)[ /]([a-z][a-z-]+)", text)}

    assert subprocess.run(["bash", "-n"], input=text.encode()).returncode == 0
    assert asked - {"secret aml-serve-keys"} <= named(render(*ALL[way]))
    assert "$ADDRESS" in text
    assert "ADDRESS=" in text
    assert f"helm --namespace {NAMESPACE} test {RELEASE}" in text


def test_they_say_how_to_read_a_key_and_how_to_open_the_service(cluster: Cluster) -> None:
    text = notes(cluster)

    assert "{.data.keys}" in text
    assert "--set auth.enabled=false" in text
    assert "auth.existingSecret" in text


def test_they_warn_of_what_is_open_and_of_what_is_missing(cluster: Cluster) -> None:
    assert "no key is needed" in notes(cluster, "auth.enabled=false")
    assert "nothing says where models come from" in notes(cluster)
    assert "WARNING" not in notes(cluster, *SP)
    modes = ("persistence.enabled=true", "persistence.accessModes={ReadWriteOnce}")
    assert "ReadWriteOnce" in notes(cluster, *modes)


@pytest.mark.parametrize("way", ["the service principal", "everything at once"])
def test_no_secret_is_printed(cluster: Cluster, way: str) -> None:
    assert "hunter2" not in notes(cluster, *ALL[way])
