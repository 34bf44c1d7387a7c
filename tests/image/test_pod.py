"""The full image as a pod of Kubernetes: read-only, 512 MB, one processor, no rights."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tests.clients import TEXT, Load
from tests.image.engine import Docker
from tests.image.pods import (
    POD,
    READ_ONLY,
    SAMPLE_SETTINGS,
    SAMPLES_MOUNTED,
    Pod,
    mounted,
    pod,
    told,
)
from tests.server import CLAIM, CUSTOMERS
from tests.serving import write_model

pytestmark = pytest.mark.image
OFTEN = "--health-interval=1s"


def test_a_pod_scores_both_kinds_of_samples(docker: Docker, full: str) -> None:
    with pod(docker, full, **SAMPLE_SETTINGS) as running:
        assert running.score(CLAIM, TEXT) == 0
        assert set(running.score("churn", CUSTOMERS)) <= {"stays", "churns"}


def test_without_a_registry_it_tells_what_to_set_and_ends_with_2(docker: Docker, full: str) -> None:
    with pod(docker, full, wait_for="") as running:
        assert running.process.wait(60) == 2
        assert "SERVE_REGISTRY is not set" in running.log()


@pytest.mark.parametrize("user", ["10001", "123456", "4711:4711"])
def test_its_health_is_told_to_the_engine_whoever_the_user_is(
    docker: Docker, full: str, user: str
) -> None:
    options = (*POD, SAMPLES_MOUNTED, OFTEN, f"--user={user}", "--tmpfs=/cache:mode=1777")
    settings = {**SAMPLE_SETTINGS, "SERVE_CACHE_DIR": "/cache"}
    with pod(docker, full, options=options, **settings) as running:
        running.wait_until_healthy()
        assert running.score(CLAIM, TEXT) == 0


def test_a_cluster_that_chooses_the_user_leaves_it_the_cache(docker: Docker, full: str) -> None:
    options = (*POD, SAMPLES_MOUNTED, "--user=123456")  # its group is 0
    with pod(docker, full, options=options, **SAMPLE_SETTINGS) as running:
        assert running.run("ls", "/var/cache/aml-serve/models") == ""
        assert running.run("id", "-u") == "123456"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stop_under_load_loses_nothing(docker: Docker, full: str, workers: str) -> None:
    settings = {**SAMPLE_SETTINGS, "SERVE_MODELS": CLAIM, "SERVE_DRAIN_S": "1"}
    with pod(docker, full, SERVE_WORKERS=workers, **settings) as running:
        load = Load(running, 4)
        running.wait_until(lambda: load.outcomes["200"] > 100)
        running.send_signal(signal.SIGTERM)
        running.wait_for("/readyz", 503)
        load.stop()
        assert running.process.wait(30) == 0
    assert set(load.outcomes) <= {"200", "200 close"}
    assert "Traceback" not in running.log()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.6])
def test_process_1_heeds_a_stop_from_its_first_moment(
    docker: Docker, full: str, after_s: float, workers: str
) -> None:
    settings = {**SAMPLE_SETTINGS, "SERVE_WORKERS": workers}
    with pod(docker, full, wait_for="", **settings) as running:
        running.wait_until_started()
        time.sleep(after_s)
        running.send_signal(signal.SIGTERM)
        assert running.process.wait(30) in (0, 128 + signal.SIGTERM)


def write_heavy(folder: Path, name: str, weights: np.ndarray, nodes: list[NodeProto]) -> None:
    """An ONNX model of `nodes` from `x` and the weights `w` to `y`; its requests are not joined."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 1]) for n in ("x", "y"))
    graph = helper.make_graph(nodes, "graph", [x], [y], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    written = write_model(folder, name, manifest="batching: {max_rows: 1}\n")
    (written / "model.onnx").write_bytes(model.SerializeToString())


def write_huge(folder: Path, size_mb: int) -> None:
    """Its weights take so much."""
    nodes = [
        helper.make_node("ReduceMax", ["w"], ["m"], keepdims=0),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]
    write_heavy(folder, "huge", np.ones(size_mb * 250_000, np.float32), nodes)


def write_slow(folder: Path) -> None:
    """It multiplies matrices for tenths of a second."""
    products = 6
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Add", ["w", "m"], ["p0"]),
        *(helper.make_node("MatMul", ["w", f"p{i}"], [f"p{i + 1}"]) for i in range(products)),
        helper.make_node("ReduceMax", [f"p{products}"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    write_heavy(folder, "slow", np.full((1500, 1500), 1e-3, np.float32), nodes)


def test_a_model_beyond_its_memory_is_refused_and_the_others_are_served(
    docker: Docker, full: str, tmp_path: Path
) -> None:
    write_model(tmp_path, "double")
    write_huge(tmp_path, 600)
    options = (*POD, mounted(tmp_path, "/models"))
    settings = {**SAMPLE_SETTINGS, "SERVE_MODELS": "huge,double"}
    with pod(docker, full, wait_for="/livez", options=options, **settings) as running:
        running.wait_until(lambda: running.models()["huge"]["state"] == "FAILED")
        assert "bytes of memory" in running.models()["huge"]["reason"]
        assert running.score("double", [[21]]) == [[42.0]]
        assert (running.state()["Status"], running.state()["OOMKilled"]) == ("running", False)


def ticks(running: Pod) -> Counter[str]:
    """Hundredths of a second that each thread of process 1 has computed; see proc(5), stat."""
    lines = running.run("sh", "-c", "cat /proc/1/task/*/stat").splitlines()
    return Counter({line.split()[0]: int(line.rpartition(")")[2].split()[11]) for line in lines})


def computing(running: Pod) -> tuple[int, int]:
    """Processors by the quota, and threads that compute when many ask at once."""
    before = ticks(running)
    with ThreadPoolExecutor(8) as clients:
        assert all(clients.map(lambda row: running.score("slow", [[row]]), range(8)))
    spent = ticks(running) - before
    quota = int(running.run("python", "-c", "from app import quota; print(quota.cpu_count())"))
    return quota, sum(each > 20 for each in spent.values())


def test_threads_follow_the_limit_of_processors(docker: Docker, full: str, tmp_path: Path) -> None:
    write_slow(tmp_path)
    options = (*POD, mounted(tmp_path, "/models"))
    settings = {**SAMPLE_SETTINGS, "SERVE_MODELS": "slow"}
    with pod(docker, full, options=options, **settings) as one:
        assert computing(one) == (1, 1)
    with pod(docker, full, options=(*options, "--cpus=2"), **settings) as two:
        assert computing(two) == (2, 2)


def test_nothing_is_written_outside_the_mounted_folders(docker: Docker, full: str) -> None:
    options = [o for o in (*POD, SAMPLES_MOUNTED) if o not in READ_ONLY]
    with pod(docker, full, options=options, **SAMPLE_SETTINGS) as running:
        running.score(CLAIM, TEXT)
        running.score("churn", CUSTOMERS)
        assert running.stop() == 0
        changed = docker("diff", running.name).splitlines()
    mount_points = {"A /models", "C /var", "C /var/cache"}
    assert set(changed) <= mount_points


def test_an_init_container_pulls_what_the_configuration_names(
    docker: Docker, full: str, tmp_path: Path
) -> None:
    tmp_path.joinpath("config.yaml").write_text(f"models: [{{name: {CLAIM}, version: 1}}]")
    options = (*POD, SAMPLES_MOUNTED, mounted(tmp_path, "/etc/aml-serve"),
               "--env=SERVE_REGISTRY=file:///models")  # fmt: skip
    command = ("models", "pull", "--config", "/etc/aml-serve/config.yaml")
    assert told(docker, full, *command, options=options).startswith(f"{CLAIM}:1  ")


def test_labels_say_what_it_is(docker: Docker, full: str) -> None:
    labels = json.loads(docker("inspect", "--format={{json .Config.Labels}}", full))
    described = {
        name.removeprefix("org.opencontainers.image."): text for name, text in labels.items()
    }
    assert described["title"] == "aml-serve"
    assert full == f"aml-serve:{described['version']}"
