"""What a script hands to its `Collector` is collected as its operator wants."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.collecting.rule import Rule
from tests.scripts import write_script
from tests.server import Server, serving

SALT = "not so secret"
SCRIPT = """
    import json
    import pandas as pd
    from azureml.ai.monitoring import Collector
    from azureml.ai.monitoring.context import BasicCorrelationContext

    def init():
        global inputs, outputs
        inputs, outputs = Collector(name="model_inputs"), Collector(name="model_outputs")

    def run(data):
        asked = json.loads(data)
        table = pd.DataFrame(asked["data"])
        context = inputs.collect(table, BasicCorrelationContext(id=asked["id"]))
        table["age"] = 0
        outputs.collect(pd.DataFrame({"label": [1] * len(table)}), context)
        return str(context)
"""
ROWS = [{"age": 36, "name": "Ann"}, {"age": 71, "name": None}]
Configure = Callable[..., dict[str, str]]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Settings of a server whose script `churn` is collected so; None: not at all."""

    def write(**collect: Any) -> dict[str, str]:
        rule = {"collect": {"to": f"file://{tmp_path}/collected", **collect}} if collect else {}
        beside = tmp_path / "beside"
        beside.write_text(json.dumps({"models": [{"name": "churn", **rule}]}))
        beside.replace(tmp_path / "serve.yaml")
        if not (tmp_path / "registry").exists():
            write_script(tmp_path / "registry", "churn", SCRIPT, version="2")
        config, registry = str(tmp_path / "serve.yaml"), str(tmp_path / "registry")
        return {"SERVE_CONFIG": config, "SERVE_REGISTRY": registry}

    return write


def ask(server: Server, name: str = "ours") -> None:
    answer = server.post("/score/churn", json={"data": ROWS, "id": name})
    assert (answer.status_code, answer.json()) == (200, name), answer.text


def collected(tmp_path: Path) -> list[dict[str, Any]]:
    found = sorted((tmp_path / "collected").rglob("*.jsonl"))
    return [json.loads(line) for file in found for line in file.read_text().splitlines()]


def written(server: Server) -> float:
    lines = server.get("/metrics").text.splitlines()
    counts = [each for each in lines if each.startswith("model_collected_total{")]
    return sum(float(each.split()[-1]) for each in counts if 'outcome="written"' in each)


def tables(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Collection -> its line; of one request."""
    return {each["collection"]: each for each in collected(tmp_path) if "collection" in each}


def test_its_tables_are_written_as_lines_of_its_model(tmp_path: Path, configure: Configure) -> None:
    with serving(**configure(sample=1)) as server:
        ask(server)
        server.wait_until(lambda: len(collected(tmp_path)) == 3)
        server.wait_until(lambda: written(server) == 3)

    found = tables(tmp_path)
    assert found.keys() == {"model_inputs", "model_outputs"}
    for line in found.values():
        told = {key: line[key] for key in ("model", "version", "request_id", "rows")}
        assert told == {"model": "churn", "version": "2", "request_id": "ours", "rows": 2}
    assert found["model_inputs"]["data"] == {"age": [36, 71], "name": ["Ann", None]}
    assert found["model_outputs"]["data"] == {"label": [1, 1]}


def test_columns_that_must_not_be_seen_are_not(tmp_path: Path, configure: Configure) -> None:
    columns = {"drop": ["age"], "hash": ["name"]}
    with serving(**configure(columns=columns, salt=SALT)) as server:
        ask(server)
        server.wait_until(lambda: len(collected(tmp_path)) == 2)
        assert server.stop() == 0

    hashed = Rule("", salt=SALT.encode()).hashed(["Ann", None])
    assert tables(tmp_path)["model_inputs"]["data"] == {"name": hashed}
    assert len(collected(tmp_path)) == 2  # nor in the texts of request and answer


def test_those_that_belong_together_are_sampled_together(
    tmp_path: Path, configure: Configure
) -> None:
    names = [f"request-{number}" for number in range(60)]
    sampled = sorted(name for name in names if Rule("", 0.3).takes(name.encode()))
    with serving(**configure(sample=0.3, columns={"drop": ["none"]})) as server:
        for name in names:
            ask(server, name)
        server.wait_until(lambda: len(collected(tmp_path)) == 2 * len(sampled))

    assert sorted(each["request_id"] for each in collected(tmp_path)) == sorted(2 * sampled)


def test_a_script_runs_alike_where_nothing_is_collected_and_begins_to_be(
    tmp_path: Path, configure: Configure
) -> None:
    with serving(**configure()) as server:
        ask(server)
        assert collected(tmp_path) == []
        configure(sample=1)
        server.wait_until(lambda: "the configuration file has changed" in server.log())
        ask(server, "later")
        server.wait_until(lambda: len(tables(tmp_path)) == 2)
        assert {each["request_id"] for each in tables(tmp_path).values()} == {"later"}


def test_its_last_tables_are_written_when_the_server_ends(
    tmp_path: Path, configure: Configure
) -> None:
    with serving(**configure(columns={"drop": ["none"]})) as server:
        for number in range(20):
            ask(server, str(number))
        assert server.stop() == 0

    assert len(collected(tmp_path)) == 40
