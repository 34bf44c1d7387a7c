"""The page from made-up results: each number in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import environments, report
from bench.peers import FLOOR, SUBJECT
from bench.results import Failure, Results
from tests.bench.made_up import a_load, a_visit, an_overload, some_results


@pytest.fixture(autouse=True)
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_here(folder: Path) -> Path:
        raise environments.NotInstalled(f"{folder.name} are drawn elsewhere")

    monkeypatch.setattr(environments, "python", not_here)


def page(found: Results, folder: Path) -> str:
    report.write(found, folder)
    return (folder / "README.md").read_text()


def tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Heading -> its rows, by the head of each column."""
    found: dict[str, list[dict[str, str]]] = {}
    for section in text.split("\n## ")[1:]:
        lines = [line[2:-2].split(" | ") for line in section.splitlines() if line[:1] == "|"]
        rows = [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]
        found[section.partition("\n")[0].partition(":")[0]] = rows
    return found


def test_a_row_tells_each_number_under_its_head(tmp_path: Path) -> None:
    loads = {1: a_load(11, 1.5, 2.5), 16: a_load(12345, 3, 4), 64: a_load(13, 5, 1234.5, refused=7)}
    own = a_visit(SUBJECT, loads=loads, memory_mb=87.6)
    other = a_visit("flask", first_answer_s=1.25, first_answer_processor_s=0.75)
    first, second = tables(page(some_results(own, other), tmp_path))["W2"]

    assert list(first.values()) == [
        "**aml-serve**",
        *("11 / 12,345 / 13", "1.5 / 3 / 5", "2.5 / 4 / 1,234"),
        *("88", "0.50 (0.25)", "7", "-"),
    ]
    assert second["server"] == "Flask, model loaded per request"
    assert second["requests/s (1 / 16 / 64)"] == "100 / 200 / 300"
    assert second["first answer, s (CPU s)"] == "1.25 (0.75)"
    assert second["aml-serve to it"] == "0.11 / 61.73 / 0.04 x"


def test_the_heads_name_what_is_below_them(tmp_path: Path) -> None:
    (row, _) = tables(page(some_results(), tmp_path))["W2"]
    per_load = ["requests/s", "p50, ms", "p99, ms"]
    per_server = ["memory, MB", "first answer, s (CPU s)", "not 200", "aml-serve to it"]

    assert list(row) == ["server", *(f"{head} (1 / 16 / 64)" for head in per_load), *per_server]


def test_broken_connections_are_told_beside_refusals(tmp_path: Path) -> None:
    loads = {16: a_load(refused=1200, broken=3)}
    (row,) = tables(page(some_results(a_visit(SUBJECT, loads=loads)), tmp_path))["W2"]

    assert row["not 200"] == "1,200 (+ 3 broken)"


def test_the_page_says_what_when_where_and_with_which_versions(tmp_path: Path) -> None:
    found = some_results(a_visit(SUBJECT), a_visit("mlflow"))
    found.facts["versions"]["mlflow"] = {"mlflow": "3.2.1"}
    text = page(found, tmp_path)
    versions = {row["server"]: row["version"] for row in tables(text)["The servers"]}

    assert "`python -m bench.side_by_side --made-up` on 2026-01-02 03:04+00:00" in text
    assert "processor: An Imagined One, cores: 2, load generator: wrk 4.2" in text
    assert "onnxruntime: onnxruntime 1.2" in text
    assert "rounds made: 3, seconds: 5." in text
    assert versions == {"aml-serve": "9.8.7 (abcdef0)", "mlflow models serve": "3.2.1"}


def test_the_bare_call_and_its_share_are_told_below_the_table(tmp_path: Path) -> None:
    found = some_results(bare={"W2": [100.0, 300.0, 2000.0]})
    text = page(found, tmp_path)

    assert "The bare model call, in process: 300 a second." in text
    assert "take 1.33 at 1, 1.67 at 16, 2.00 at 64 connections of the time of aml-serve." in text


def test_workloads_come_in_order_and_only_those_that_were_measured(tmp_path: Path) -> None:
    found = some_results(a_visit(SUBJECT, "W5"), a_visit(SUBJECT, "W1"))

    assert list(tables(page(found, tmp_path))) == ["W1", "W5", "The servers"]


def test_a_server_that_was_not_measured_is_told_with_its_reason(tmp_path: Path) -> None:
    failures = [Failure("kserve", "W2", "answers 1 | 2\nvalues")]
    text = page(some_results(failures=failures), tmp_path)

    assert "| KServe SDK server | W2 | answers 1 \\| 2 values |" in text
    assert "## Not measured" not in page(some_results(), tmp_path)


def test_the_overload_is_told_by_connections(tmp_path: Path) -> None:
    run = an_overload(1000, 1234.5, without_retry_after=3)
    (row,) = tables(page(some_results(overloads=[run]), tmp_path))["Overload"]

    assert list(row.values()) == [
        *("1,000", "4,321", "2.5", "1,234", "900 x 200, 100 x 503"),
        "3 x 503 without Retry-After",
    ]


def test_targets_are_told_with_their_verdicts(tmp_path: Path) -> None:
    rows = tables(page(some_results(), tmp_path))["Targets"]
    asked = "16 connections: requests/s at least 0.55 x the raw ASGI floor"

    assert [list(row.values()) for row in rows] == [["W2", asked, "1.00 x", "met"]]


def test_the_document_holds_all_that_the_page_tells(tmp_path: Path) -> None:
    failures = [Failure("kserve", "W2", "why")]
    found = some_results(failures=failures, overloads=[an_overload()], bare={"W2": [9.0]})
    page(found, tmp_path)
    document = json.loads((tmp_path / "latest.json").read_text())

    assert [line["peer"] for line in document["medians"]["W2"]] == [SUBJECT, FLOOR]
    assert document["ratios"]["W2"][FLOOR] == {"1": 1, "16": 1, "64": 1}
    assert [target["is_met"] for target in document["targets"]] == [True, True]
    assert document["failures"] == [{"peer": "kserve", "workload": "W2", "reason": "why"}]
    assert document["overload"][0]["faults"] == []
    assert document["rounds"][1]["loads"]["64"]["requests_per_s"] == 300


def test_what_is_printed_is_on_the_page(tmp_path: Path) -> None:
    found = some_results(overloads=[an_overload()])

    assert report.tables(found) in page(found, tmp_path)


def test_old_plots_do_not_stay_with_new_numbers(tmp_path: Path) -> None:
    (tmp_path / "p99-latency.png").touch()

    assert "png" not in page(some_results(), tmp_path)
    assert list(tmp_path.glob("*.png")) == []


def test_the_page_is_written_also_when_drawing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "python", lambda folder: Path("/bin/false"))

    assert "| **aml-serve** |" in page(some_results(), tmp_path)
    assert "no plots" in capsys.readouterr().out
