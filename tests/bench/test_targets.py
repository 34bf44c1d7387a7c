"""What is asked of aml-serve, judged from made-up results."""

from __future__ import annotations

import pytest

from bench import peers, targets
from bench.overload import Overload
from bench.peers import FLOOR, SUBJECT, TABLE
from bench.results import Results, Visit
from bench.targets import Target
from bench.workloads import TITLES
from tests.bench.made_up import a_load, a_visit, an_overload, some_results


def the_target(found: Results, workload: str, words: str) -> Target:
    (one,) = (t for t in targets.targets(found) if t.workload == workload and words in t.asked)
    return one


def at_16(peer: str, rate: float, workload: str = "W2") -> Visit:
    return a_visit(peer, workload, loads={16: a_load(rate)})


@pytest.mark.parametrize(
    ("workload", "others", "words", "needed"),
    [
        ("W1", {"kserve": 20.0, "flask": 100.0}, "5 x the best Python peer", 500),
        ("W2", {FLOOR: 1000.0}, "0.55 x the raw ASGI floor", 550),
        ("W2", {"mlserver": 100.0, "azureml": 20.0}, "5 x the best Python peer", 500),
        ("W2", {"fastapi-tuned": 100.0, FLOOR: 9e9}, "2 x hand-tuned FastAPI", 200),
        ("W3", {"bentoml": 100.0, "pytriton": 9e9}, "1.6 x the best Python peer", 160),
        ("W4", {"litserve": 100.0, "fastapi": 9e9}, "2 x the best Python peer", 200),
        ("W5", {"mlflow": 50.0, "mlserver": 100.0, "kserve": 9e9}, "that checks types", 300),
    ],
)
def test_requests_per_second_are_judged_against_the_fastest_of_those_named(
    workload: str, others: dict[str, float], words: str, needed: float
) -> None:
    visits = [at_16(peer, rate, workload) for peer, rate in others.items()]
    met = some_results(at_16(SUBJECT, needed, workload), *visits)
    missed = some_results(at_16(SUBJECT, 0.98 * needed, workload), *visits)

    assert the_target(met, workload, words).verdict == "met"
    assert the_target(missed, workload, words).verdict == "missed"


def test_the_measured_ratio_is_told_with_the_server_it_is_to() -> None:
    found = some_results(at_16(SUBJECT, 610), at_16("kserve", 100), at_16("mlflow", 90))
    target = the_target(found, "W2", "Python peer")

    assert target.asked == "16 connections: requests/s at least 5 x the best Python peer"
    assert target.measured == "6.10 x (KServe SDK server)"


@pytest.mark.parametrize(("rate", "verdict"), [(75, "met"), (74, "missed")])
def test_w1_on_one_connection_takes_little_more_than_floor_and_bare_call(
    rate: float, verdict: str
) -> None:
    floor = a_visit(FLOOR, "W1", loads={1: a_load(200.0)})  # 5 ms, and the bare call as much
    own = a_visit(SUBJECT, "W1", loads={1: a_load(rate)})
    target = the_target(some_results(own, floor, bare={"W1": [200.0]}), "W1", "bare call")

    assert target.asked.startswith("1 connection: ")
    assert (target.measured, target.verdict) == (f"{rate / 100:.2f}", verdict)


def test_the_share_of_w3_is_told_and_not_judged() -> None:
    found = some_results(at_16(SUBJECT, 10, "W3"), at_16(FLOOR, 200, "W3"), bare={"W3": [200.0]})

    target = the_target(found, "W3", "bare call")
    assert (target.measured, target.verdict) == ("0.10", "told")


@pytest.mark.parametrize(("p99", "verdict"), [(10.0, "met"), (10.1, "missed")])
def test_the_p99_of_w2_is_a_third_of_the_least_of_the_python_peers(
    p99: float, verdict: str
) -> None:
    waits = {SUBJECT: p99, "flask": 90.0, "mlserver": 30.0, "fastapi-tuned": 1.0, "pytriton": 1.0}
    visits = [a_visit(peer, loads={64: a_load(p99=wait)}) for peer, wait in waits.items()]
    target = the_target(some_results(*visits), "W2", "third")

    assert (target.measured, target.verdict) == (f"{p99 / 30:.2f} x (MLServer)", verdict)


@pytest.mark.parametrize(("p99", "verdict"), [(6.0, "met"), (6.1, "missed")])
def test_the_p99_of_w4_is_near_its_p50(p99: float, verdict: str) -> None:
    found = some_results(a_visit(SUBJECT, "W4", loads={64: a_load(p50=2.0, p99=p99)}))

    target = the_target(found, "W4", "p50")
    assert (target.measured, target.verdict) == (f"{p99 / 2:.2f} x", verdict)


@pytest.mark.parametrize(("memory", "verdict"), [(149.0, "met"), (150.0, "missed")])
@pytest.mark.parametrize("workload", TITLES)
def test_memory_is_less_than_that_of_each_product_and_handlers_do_not_count(
    workload: str, memory: float, verdict: str
) -> None:
    sizes = {SUBJECT: memory, "pytriton": 150.0, "bentoml": 300.0}
    handlers = {"flask": 50.0, "fastapi": 50.0, "fastapi-tuned": 50.0, FLOOR: 20.0}
    visits = [a_visit(p, workload, memory_mb=mb) for p, mb in (sizes | handlers).items()]
    target = the_target(some_results(*visits), workload, "memory")

    assert target.verdict == verdict
    assert target.measured == f"{memory:.0f} MB, PyTriton (Triton) 150 MB"


def test_an_overload_without_fault_meets_its_targets() -> None:
    runs = [an_overload(16, 4.0), an_overload(256, 80.0), an_overload(1000, 162.56)]
    found = targets.targets(some_results(a_visit(SUBJECT), overloads=runs))
    told = {t.asked.partition(":")[0]: (t.measured, t.verdict) for t in found}

    assert told["no fault"] == ("none", "met")
    assert told["256 connections"] == ("1.25 x", "met")
    assert told["1,000 connections"] == ("1.27 x", "missed")


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (an_overload(256, statuses={"200": 1, "500": 3}), "256: 3 x 500"),
        (an_overload(1000, statuses={"503": 3}, p99=0.0), "1,000: no 200"),
    ],
)
def test_an_overload_with_a_fault_misses_and_tells_it(run: Overload, words: str) -> None:
    found = some_results(overloads=[an_overload(), run])

    target = the_target(found, "overload", "no fault")
    assert (target.measured, target.verdict) == (words, "missed")


def test_no_answer_of_200_in_an_overload_is_no_short_wait() -> None:
    found = some_results(overloads=[an_overload(), an_overload(256, 0.0, statuses={"503": 9})])

    assert the_target(found, "overload", "256").verdict == "missed"


def test_refusing_quickly_meets_nothing() -> None:
    own = a_visit(SUBJECT, loads={16: a_load(9e9, refused=7)})
    target = the_target(some_results(own, at_16(FLOOR, 1000)), "W2", "floor")

    assert target.verdict == "missed"
    assert target.measured.endswith("; 7 requests without a 200")


@pytest.mark.parametrize("alone", [SUBJECT, FLOOR])
def test_what_a_run_cannot_tell_is_left_out(alone: str) -> None:
    assert targets.targets(some_results(a_visit(alone))) == []


def test_a_whole_run_tells_each_target_once_and_by_workload() -> None:
    visits = [a_visit(name, w) for w in TITLES for name in TABLE if w in peers.get(name).workloads]
    overloads = [an_overload(count) for count in (16, 256, 1000)]
    found = some_results(*visits, bare={w: [9.0] for w in TITLES}, overloads=overloads)
    told = [(t.workload, t.asked) for t in targets.targets(found) if t.workload != "W4B"]

    assert len(told) == len(set(told)) == 19
    assert [w for w, _ in told] == sorted(w for w, _ in told)
