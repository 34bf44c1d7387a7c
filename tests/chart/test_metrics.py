"""Dashboard and alerts ask for metrics that the service tells, by labels that they have."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import promql_parser
import pytest
from prometheus_client.core import HistogramMetricFamily

from app.telemetry.gauges import NOTHING
from app.telemetry.prometheus import Prometheus
from tests.chart.rendering import CHART, only, render
from tests.server import ROOT

DASHBOARD: dict[str, Any] = json.loads((CHART / "dashboards/aml-serve.json").read_text())
OF_PROMETHEUS = {"namespace", "pod", "le"}
"""Labels that a scrape adds, or a histogram has."""
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


@cache
def exported() -> dict[str, set[str]]:
    """Name of each series -> its labels."""
    found: dict[str, set[str]] = {}
    for family in Prometheus(lambda: NOTHING).collect():
        labels = {*getattr(family, "_labelnames", ()), *OF_PROMETHEUS}
        assert isinstance(family, HistogramMetricFamily) == (family.type == "histogram")
        found |= {family.name + suffix: labels for suffix in SUFFIXES[family.type]}
    return found


def rules() -> list[dict[str, Any]]:
    manifests = render("prometheusRule.enabled=true", "prometheusRule.slowSeconds=0.5")
    found: list[dict[str, Any]] = only(manifests, "PrometheusRule")["spec"]["groups"][0]["rules"]
    return found


def shown() -> list[tuple[str, str]]:
    """Panel or variable of the dashboard -> a query."""
    panels = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
    found = [(p["title"], target["expr"]) for p in panels for target in p["targets"]]
    variables = [v for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]
    return found + [
        (v["name"], re.sub(r"label_values\((.*?), (\w+)\)$", r"count by (\2) (\1)", v["query"]))
        for v in variables
    ]


def rendered() -> list[tuple[str, str]]:
    """Alert -> its query, and that of KEDA."""
    keda = render("keda.enabled=true", "keda.prometheus.serverAddress=http://p")
    trigger = only(keda, "ScaledObject")["spec"]["triggers"][0]
    found = [(rule["alert"], rule["expr"]) for rule in rules()]
    return [*found, ("KEDA", trigger["metadata"]["query"])]


SERIES = re.compile(r"\b([a-z]+(?:_[a-z]+)+)\b(?=[{)]|$)(?:\{(.*?)\})?")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"(.*?)\"")


def check(query: str) -> None:
    series = SERIES.findall(query)
    grouped = {g.strip() for each in re.findall(r"by \((.*?)\)", query) for g in each.split(",")}

    promql_parser.parse(query.replace("$__rate_interval", "5m"))  # else ValueError
    assert series, query
    for name, inside in series:
        assert name in exported(), name
        assert {label for label, _ in LABEL.findall(inside)} <= exported()[name], name
    assert grouped <= set().union(*(exported()[name] for name, _ in series)), query


@pytest.mark.parametrize(("panel", "query"), shown())
def test_what_the_dashboard_asks_for_is_told(panel: str, query: str) -> None:
    check(query)


def test_what_alerts_and_keda_ask_for_is_told() -> None:
    for _, query in rendered():
        check(query)


def test_codes_phases_and_outcomes_that_are_asked_for_exist() -> None:
    text = json.dumps([*shown(), *rendered()])
    codes = set(re.findall(r'code=\\"([a-z-]+)\\"', text))
    phases = set(re.findall(r'phase=\\"([a-z]+)\\"', text))
    outcomes = {o for each in re.findall(r'outcome=~?\\"([a-z|]+)', text) for o in each.split("|")}

    assert all(f"`{code}`" in (ROOT / "docs/errors.md").read_text() for code in codes)
    assert phases <= {"queue", "decode", "predict", "encode"}
    assert outcomes <= {"agrees", "differs", "failed", "skipped"}


def test_every_metric_of_the_service_is_on_the_dashboard() -> None:
    text = json.dumps(DASHBOARD)
    families = {name.rpartition("_bucket")[0] or name for name in exported()}
    names = {name for name in families if not name.endswith(("_sum", "_count"))}

    assert {name for name in names if name not in text} == set()


def test_panels_have_a_place_of_their_own() -> None:
    places = [tuple(sorted(panel["gridPos"].items())) for panel in DASHBOARD["panels"]]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert len(set(places)) == len(places)
    assert len(set(ids)) == len(ids)
    assert all(panel["description"] for panel in DASHBOARD["panels"] if panel["type"] != "row")


def test_the_pods_that_are_asked_for_are_those_of_this_release() -> None:
    pattern = re.search(r'pod=~"(.*?)"', rules()[0]["expr"])
    assert pattern is not None

    for name in ("models-aml-serve-7d4b9c-x2x4z", "models-aml-serve-canary-7d4b9c-x2x4z"):
        assert re.fullmatch(pattern[1], name)
    assert not re.fullmatch(pattern[1], "models-aml-serve-other-chart-7d4b9c-x2x4z")


def test_the_dashboard_is_rendered_as_it_stands() -> None:
    found = only(render("grafanaDashboard.enabled=true"), "ConfigMap", "dashboard")

    assert json.loads(found["data"]["aml-serve.json"]) == DASHBOARD


def test_every_alert_is_explained_to_whoever_gets_it() -> None:
    page = (ROOT / "docs/operations.md").read_text()

    assert [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in page] == []


def test_panels_that_the_page_names_are_there() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    section = page.partition("### Reading the dashboard")[2].partition("## When Azure says no")[0]
    titles = {panel["title"] for panel in DASHBOARD["panels"]}
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*|]+)\*(?!\*)", section))

    assert len(named) > 5
    assert named <= titles
