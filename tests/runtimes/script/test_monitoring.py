"""Tables that scripts hand over, in their own process: what is sent, refused and dropped."""

from __future__ import annotations

import importlib
import inspect
import json
import socket
import sys
import uuid
from collections.abc import Iterator

import pandas as pd
import pytest

from app.script import monitoring_context, names
from app.script.monitoring import PLACE, Collector
from app.script.monitoring_context import BasicCorrelationContext

TABLE = pd.DataFrame({"age": [36, 71], "name": ["a", None]})


class Place:
    """Where tables are collected."""

    def __init__(self) -> None:
        self.name = f"test-{uuid.uuid4().hex}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{self.name}")
        self._listener.listen()
        self._listener.settimeout(10)

    def lines(self) -> Iterator[bytes]:
        """Of one connection."""
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        with connection, connection.makefile("rb") as stream:
            yield stream.readline()
            while line := stream.readline():
                yield line
                yield stream.read(json.loads(line)["size"])

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place()
    monkeypatch.setenv(PLACE, f"{made.name} default churn 2")
    yield made
    made.close()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No module of Azure ML is imported yet."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for known in [each for each in sys.modules if each.split(".")[0] == "azureml"]:
        monkeypatch.delitem(sys.modules, known)


def test_a_table_is_sent_as_it_was_with_its_name_and_context(place: Place) -> None:
    table = TABLE.copy()
    context = Collector(name="model_inputs").collect(table, BasicCorrelationContext(id="ours"))
    table["age"] = 0

    sent = place.lines()
    assert json.loads(next(sent)) == ["default", "churn", "2"]
    head = json.loads(next(sent))
    assert (head["collection"], head["id"]) == ("model_inputs", "ours")
    assert json.loads(next(sent)) == {"columns": ["age", "name"], "data": [[36, "a"], [71, None]]}
    assert str(context) == "ours"


def test_each_request_has_a_context_of_its_own() -> None:
    collector = Collector(name="a")

    assert collector.collect(TABLE).get_id() != collector.collect(TABLE).get_id() != ""


@pytest.mark.parametrize("data", [TABLE, [1], "text", None])
def test_where_nothing_is_collected_nothing_is_refused(data: object) -> None:
    assert Collector(name="a").collect(data).get_id()


def test_what_is_no_table_is_told_to_who_wants_to_know(place: Place) -> None:
    told: list[Exception] = []
    Collector(name="a", on_error=told.append).collect([1])

    assert [type(each) for each in told] == [TypeError]
    with pytest.raises(TypeError, match="list is not collected"):
        Collector(name="a").collect([1])


def test_a_collector_has_a_name() -> None:
    with pytest.raises(ValueError, match="name is not provided"):
        Collector(name="")


@pytest.mark.usefixtures("place")
def test_a_table_that_is_too_large_or_too_much_is_dropped_and_told_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    collector = Collector(name="a")  # of whose connection nobody reads
    large = pd.DataFrame({"x": range(200_000)})
    for _ in range(3):
        collector.collect(large)
    for _ in range(500):
        collector.collect(pd.DataFrame({"x": range(1000)}))

    told = capsys.readouterr().err
    assert told.count("more than 1 MiB") == told.count("some are dropped") == 1


def test_a_script_goes_on_when_nobody_takes_its_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLACE, "nobody-is-here default churn 2")
    collector = Collector(name="a")

    assert len({collector.collect(TABLE).get_id() for _ in range(1000)}) == 1000


@pytest.mark.usefixtures("fresh")
def test_the_names_of_the_package_can_be_imported_without_it() -> None:
    names.provide()

    package = importlib.import_module("azureml.ai.monitoring")
    context = importlib.import_module("azureml.ai.monitoring.context")

    assert package.Collector is Collector
    assert context.BasicCorrelationContext is BasicCorrelationContext


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("variable", "value", "is_ours"),
    [
        ("AZUREML_MDC_ENABLED", "true", False),
        ("AZUREML_MDC_CONFIG_PATH", "/config.json", False),
        ("AZUREML_MDC_ENABLED", "false", True),
    ],
)
def test_who_has_a_receiver_of_his_own_gets_the_package(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, is_ours: bool
) -> None:
    monkeypatch.setenv(variable, value)
    names.provide()

    found = importlib.util.find_spec("azureml.ai")
    assert found is not None
    spec = sys.meta_path[0].find_spec("azureml.ai.monitoring", None)
    assert (spec is not None) == is_ours


@pytest.mark.usefixtures("fresh")
def test_arguments_are_those_of_the_package() -> None:
    theirs = importlib.import_module("azureml.ai.monitoring")
    context = importlib.import_module("azureml.ai.monitoring.context")

    def arguments(of: object) -> list[str]:
        assert callable(of)
        return list(inspect.signature(of).parameters)

    assert arguments(Collector) == arguments(theirs.Collector)
    assert arguments(Collector.collect) == arguments(theirs.Collector.collect)
    for name in ("BasicCorrelationContext", "get_context"):
        ours = getattr(monitoring_context, name)
        assert arguments(ours) == arguments(getattr(context, name))
    assert monitoring_context.get_context().get_timestamp() > 0
