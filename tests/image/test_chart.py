"""The container of the chart's Deployment, as it is rendered, run by a real engine and scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chart.mounted import Container, container_of
from tests.chart.rendering import Manifest, render
from tests.chart.rendering import pod as template
from tests.image.engine import Docker
from tests.image.pods import SAMPLES_MOUNTED, mounted, pod
from tests.server import CLAIM, CUSTOMERS

pytestmark = pytest.mark.image
VALUES = {
    "models": ["churn", CLAIM],
    "registry": "file:///models",
    "initPull": {"enabled": True},
    "auth": {"adminKey": True},
}


def options(container: Container, of_pod: Manifest) -> Sequence[str]:
    """What the kubelet makes of a container and of its pod's rights."""
    spec, limits = container.spec, container.spec["resources"]["limits"]
    own, shared = spec["securityContext"], of_pod["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert shared["runAsNonRoot"]
    assert not own["allowPrivilegeEscalation"]
    kinds = {volume["name"]: volume for volume in container.volumes}
    places = {mount["mountPath"]: kinds[mount["name"]] for mount in spec["volumeMounts"]}
    return [
        "--read-only",
        "--security-opt=no-new-privileges",
        *(f"--cap-drop={right}" for right in own["capabilities"]["drop"]),
        f"--user={shared['runAsUser']}:{shared['runAsGroup']}",
        f"--cpus={limits['cpu']}",
        *(f"--memory{of}={limits['memory'].removesuffix('i').lower()}" for of in ("", "-swap")),
        *(
            empty(container.folder / place.lstrip("/"), place)
            if "emptyDir" in volume
            else mounted(container.folder / place.lstrip("/"), place)
            for place, volume in places.items()
        ),
    ]


def empty(folder: Path, inside: str) -> str:
    """The option for a folder of the node's that is the pod's alone."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    return f"--volume={folder}:{inside}"


def test_the_rendered_container_serves_and_scores(
    docker: Docker, full: str, tmp_path: Path
) -> None:
    manifests = render(values=VALUES)
    spec = template(manifests)["spec"]
    container = container_of(spec, manifests, tmp_path)
    here = container.environment()
    settings = {name: value.removeprefix(str(tmp_path)) for name, value in here.items()}
    probes = [container.spec[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness")]
    ready = container.spec["readinessProbe"]["httpGet"]["path"]
    given = (*options(container, spec), SAMPLES_MOUNTED)
    keys = Path(here["SERVE_API_KEYS_FILE"]).read_text().split()
    with pod(
        docker, full, *container.spec["args"], wait_for=ready, options=given, **settings
    ) as running:
        for key, status in [(keys[0], 200), (keys[1], 200), ("wrong", 401)]:
            asked = {"json": {"data": CUSTOMERS[0]}, "headers": {"x-api-key": key}}
            assert running.post("/score/churn", **asked).status_code == status
        assert [running.get(path).status_code for path in probes] == [200, 200]
        assert running.stop() == 0
