"""What the scripts of the pipelines do, with what they call from elsewhere recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients import TEXT
from tests.server import CLAIM, ROOT, SAMPLES, serving

RECORDER = """#!/bin/sh
echo "${0##*/} $*" >> "$CALLS"
case "${0##*/} $*" in $FAILS) exit 1;; esac
"""
WORKSPACE = {
    "SUBSCRIPTION_ID": "s", "RESOURCE_GROUP": "r", "WORKSPACE_NAME": "w",
    "IDENTITY_CLIENT_ID": "i",
}  # fmt: skip


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of programs that only write down how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("az", "docker", "helm", "kubectl", "kubelogin"):
        (folder / name).write_text(RECORDER)
        (folder / name).chmod(0o755)
    return folder


def run(script: str, *arguments: str, path: Path, **more: str) -> tuple[int, list[str]]:
    """Exit code, and the calls."""
    calls = path.parent / "calls"
    calls.touch()
    environment = {
        **os.environ, "PATH": f"{path}:{os.environ['PATH']}", "CALLS": str(calls),
        "FAILS": "nothing", **more,
    }  # fmt: skip
    done = subprocess.run([ROOT / "pipelines" / script, *arguments], env=environment, cwd=ROOT)
    return done.returncode, calls.read_text().splitlines()


def test_a_release_that_scores_stays(elsewhere: Path) -> None:
    code, calls = run("release.sh", "space", "here/aml-serve", "7", path=elsewhere, **WORKSPACE)
    assert code == 0
    assert [call.split()[1] for call in calls] == ["upgrade", "test"]
    upgrade = calls[0]
    assert "--atomic" in upgrade
    assert "--set image.repository=here/aml-serve --set-string image.tag=7" in upgrade
    assert "--values" not in upgrade


def test_a_release_that_does_not_score_is_rolled_back_and_fails(elsewhere: Path) -> None:
    more = {**WORKSPACE, "FAILS": "helm\\ test*"}
    code, calls = run("release.sh", "space", "here", "7", "mine.yaml", path=elsewhere, **more)
    assert code == 1
    assert [call.split()[1] for call in calls] == ["upgrade", "test", "rollback"]
    assert "--values=mine.yaml" in calls[0]


def test_an_upgrade_that_fails_is_not_tested(elsewhere: Path) -> None:
    more = {**WORKSPACE, "FAILS": "helm\\ upgrade*"}
    code, calls = run("release.sh", "space", "here", "7", path=elsewhere, **more)
    assert (code, len(calls)) == (1, 1)


def test_both_images_are_pushed_for_both_architectures(elsewhere: Path) -> None:
    code, calls = run("push.sh", "here/aml-serve", "7", path=elsewhere)
    builds = [call for call in calls if "buildx build" in call]
    assert code == 0
    assert all("--platform linux/amd64,linux/arm64 --push" in build for build in builds)
    assert "--tag here/aml-serve:7 ." in builds[0]
    assert "--tag here/aml-serve:7-slim --target slim ." in builds[1]


def test_the_cluster_is_reached_as_whoever_has_signed_in(elsewhere: Path) -> None:
    code, calls = run("cluster.sh", "group", "cluster", path=elsewhere)
    assert code == 0
    assert calls[0].startswith("az aks get-credentials --resource-group group --name cluster")
    assert calls[1] == "kubelogin convert-kubeconfig --login azurecli"


def test_what_was_trained_is_registered_and_served_as_the_candidate(
    elsewhere: Path, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(SAMPLES / CLAIM, models / CLAIM)
    command = elsewhere / "aml-serve"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m app "$@"\n')
    command.chmod(0o755)
    settings = {"SERVE_REGISTRY": str(models), "SERVE_ADMIN_KEYS": "admin-key-of-this-test"}
    with serving(**settings) as server:
        training = f"cp -r {SAMPLES / CLAIM / '1'} {tmp_path}/trained"
        job = {"TRAIN": training, "MODEL": f"{tmp_path}/trained", "NAME": CLAIM,
               "SERVERS": server.url, "STABLE": "1"}  # fmt: skip
        code, _ = run("retrain.sh", path=elsewhere, **settings, **job)
        assert code == 0
        for label, version in {"candidate": "2", "stable": "1"}.items():
            answer = server.post(f"/score/{CLAIM}/versions/{label}", json={"data": TEXT})
            assert (answer.status_code, answer.headers["x-model-version"]) == (200, version)
