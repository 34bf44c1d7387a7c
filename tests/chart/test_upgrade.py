"""Keys are made once, and stay: helm installs, upgrades and rolls back in a cluster's stand-in."""

from __future__ import annotations

import base64

import yaml

from tests.chart.cluster import Cluster
from tests.chart.rendering import CHART, helm

NAME = "models-aml-serve-keys"
OPTIONS = ("--namespace", "ml", "--create-namespace", "--install", "--set", "registry=/models")


def upgrade(cluster: Cluster, *options: str) -> str:
    """What helm says; for the first time it is an installation."""
    command = ("upgrade", "models", str(CHART), *OPTIONS, *options)
    return helm(*command, home=cluster.home).stdout


def rendered_keys(told: str) -> str:
    """The keys in the manifest that a dry run shows."""
    text = told.partition("MANIFEST:\n")[2].partition("\nNOTES:")[0]
    secret = next(m for m in yaml.safe_load_all(text) if m and m["metadata"]["name"] == NAME)
    return base64.b64decode(secret["data"]["keys"]).decode()


def test_two_keys_are_made_that_nobody_else_has(cluster: Cluster) -> None:
    upgrade(cluster)

    first, second = cluster.secret("ml", NAME)["keys"].split()
    assert len(first) == len(second) == 40
    assert first != second


def test_an_upgrade_keeps_the_keys(cluster: Cluster) -> None:
    upgrade(cluster)
    keys = cluster.secret("ml", NAME)["keys"]

    tried = upgrade(cluster, "--dry-run=server", "--set", "image.tag=2")
    upgrade(cluster, "--set", "image.tag=2")

    assert rendered_keys(tried) == keys
    assert cluster.secret("ml", NAME)["keys"] == keys


def test_a_key_that_was_changed_by_hand_stays_changed(cluster: Cluster) -> None:
    upgrade(cluster)
    cluster.put_secret("ml", NAME, keys="mine\n")

    assert rendered_keys(upgrade(cluster, "--dry-run=server")) == "mine\n"


def test_a_roll_back_brings_back_the_keys_that_the_chart_knew(cluster: Cluster) -> None:
    upgrade(cluster)
    keys = cluster.secret("ml", NAME)["keys"]
    cluster.put_secret("ml", NAME, keys="mine\n")

    helm("rollback", "models", "1", "--namespace", "ml", home=cluster.home)

    assert cluster.secret("ml", NAME)["keys"] == keys


def test_a_key_for_administrators_comes_later_and_stays(cluster: Cluster) -> None:
    upgrade(cluster)
    keys = cluster.secret("ml", NAME)["keys"]
    upgrade(cluster, "--set", "auth.adminKey=true")
    admin = cluster.secret("ml", NAME)["admin-keys"]

    upgrade(cluster, "--set", "auth.adminKey=true", "--set", "image.tag=2")

    assert cluster.secret("ml", NAME) == {"keys": keys, "admin-keys": admin}


def test_a_roll_back_brings_back_the_image_and_the_keys_stay(cluster: Cluster) -> None:
    upgrade(cluster)
    keys = cluster.secret("ml", NAME)["keys"]
    upgrade(cluster, "--set", "image.tag=2")

    helm("rollback", "models", "1", "--namespace", "ml", home=cluster.home)

    path = "/apis/apps/v1/namespaces/ml/deployments/models-aml-serve"
    server = cluster.objects[path]["spec"]["template"]["spec"]["containers"][0]
    assert server["image"] == "aml-serve:0.1.0"
    assert cluster.secret("ml", NAME)["keys"] == keys


def test_a_secret_of_ones_own_is_left_alone(cluster: Cluster) -> None:
    upgrade(cluster, "--set", "auth.existingSecret=mine")

    assert [path for path in cluster.objects if path.endswith("-keys")] == []


def test_two_releases_live_beside_each_other(cluster: Cluster) -> None:
    upgrade(cluster)
    command = ("upgrade", "others", str(CHART), *OPTIONS)

    helm(*command, home=cluster.home)

    names = {path.rpartition("/")[2] for path in cluster.objects}
    assert {"models-aml-serve", "others-aml-serve"} <= names
