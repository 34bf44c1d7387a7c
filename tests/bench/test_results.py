"""Medians, ratios and failures of made-up rounds."""

from __future__ import annotations

import pytest

from bench import results
from bench.load import NoLoad
from bench.peers import FLOOR, SUBJECT
from bench.results import Failure
from tests.bench.made_up import a_load, a_visit, some_results


def test_a_line_tells_the_medians_of_the_rounds() -> None:
    rounds = [
        a_visit(SUBJECT, loads={16: a_load(rate, p50, p99)}, memory_mb=memory, first_answer_s=first)
        for rate, p50, p99, memory, first in [
            (950.0, 1.5, 35.0, 80.0, 1.5),
            (100.0, 3.0, 10.0, 95.0, 0.5),
            (500.0, 2.0, 20.0, 70.0, 0.75),
        ]
    ]
    (line,) = results.lines(some_results(*rounds), "W2")

    assert (line.requests_per_s, line.p50_ms, line.p99_ms) == ({16: 500}, {16: 2}, {16: 20})
    assert (line.memory_mb, line.first_answer_s, line.first_answer_processor_s) == (80, 0.75, 0.25)


def test_answers_that_are_not_200_add_up_over_loads_and_rounds() -> None:
    loads = {1: a_load(refused=1, broken=10), 16: a_load(refused=2, broken=20)}
    found = some_results(a_visit(SUBJECT, loads=loads), a_visit(SUBJECT, loads=loads))
    (line,) = results.lines(found, "W2")

    assert (line.not_200, line.broken) == (6, 60)


def test_a_workload_has_a_line_for_each_of_its_servers_in_the_order_of_the_first_round() -> None:
    visits = [a_visit("mlflow"), a_visit(SUBJECT), a_visit(SUBJECT), a_visit("mlflow")]
    found = some_results(*visits, a_visit("flask", "W1"))

    assert [line.peer for line in results.lines(found, "W2")] == ["mlflow", SUBJECT]


def test_ratios_are_those_of_aml_serve_to_each_other_at_each_load() -> None:
    found = some_results(a_visit(SUBJECT), a_visit("flask", rates=(50, 100, 600)))

    assert results.ratios(results.lines(found, "W2")) == {"flask": {1: 2, 16: 2, 64: 0.5}}


def test_without_aml_serve_there_are_no_ratios_and_no_shares() -> None:
    found = some_results(a_visit(FLOOR), bare={"W2": [1000.0]})

    assert results.ratios(results.lines(found, "W2")) == {}
    assert results.share_of_possible(found, "W2") == {}


def test_the_share_is_the_time_of_floor_and_bare_call_by_that_of_aml_serve() -> None:
    floor = a_visit(FLOOR, rates=(200, 400, 800))  # 5, 2.5 and 1.25 ms
    found = some_results(a_visit(SUBJECT), floor, bare={"W2": [9.0, 400.0, 1e6]})  # 2.5 ms
    of = results.share_of_possible(found, "W2")  # aml-serve takes 10, 5 and 3.33 ms

    assert of == pytest.approx({1: 7.5 / 10, 16: 5 / 5, 64: 3.75 / 3.3333333})
    assert results.share_of_possible(some_results(a_visit(SUBJECT), floor), "W2") == {}


def test_a_failure_names_no_address_and_no_folder() -> None:
    error = NoLoad("in /home/someone/serve.py: https://index.example/simple says no")
    failure = Failure.of("flask", "W2", error)

    assert failure == Failure("flask", "W2", "in serve.py: ... says no")
