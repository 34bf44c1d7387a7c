"""The command line of the bench."""

from __future__ import annotations

from pathlib import Path

import pytest

import bench
from bench.peers import FLOOR, SUBJECT, TABLE
from bench.plan import planned
from bench.workloads import TITLES

HERE = Path(bench.__path__[0])


def test_no_words_ask_for_all_of_it() -> None:
    plan = planned([])

    assert (plan.peers, plan.workloads) == (tuple(TABLE), tuple(TITLES))
    assert (plan.connections, plan.rounds, plan.has_overload) == ((1, 16, 64), 3, True)
    assert plan.folder == HERE / "results"


def test_aml_serve_and_the_floor_are_in_each_plan_and_all_have_the_order_of_the_table() -> None:
    assert planned(["--peers", "mlserver,kserve"]).peers == (SUBJECT, FLOOR, "kserve", "mlserver")
    assert planned(["--peers", ""]).peers == (SUBJECT, FLOOR)


@pytest.mark.parametrize(
    "words",
    [
        ["--peers", "mlserver"],
        ["--workloads", "W2"],
        ["--concurrency", "16"],
        ["--overload", "no"],
        ["--overload", "only"],
    ],
)
def test_a_run_of_a_part_leaves_the_results_of_a_whole_one_alone(words: list[str]) -> None:
    assert planned(words).folder == HERE / ".data" / "results"


def test_results_go_where_the_words_say(tmp_path: Path) -> None:
    assert planned(["--results", str(tmp_path)]).folder == tmp_path


def test_a_plan_of_every_peer_by_name_is_a_whole_one() -> None:
    others = [name for name in TABLE if name not in (SUBJECT, FLOOR)]

    assert planned(["--peers", ",".join(others)]).folder == HERE / "results"


def test_numbers_are_taken_as_given() -> None:
    words = "--concurrency 8,2,8 --seconds 7 --warm-up 4 --rounds 9"
    plan = planned(words.split())

    assert (plan.connections, plan.seconds, plan.warm_up_s, plan.rounds) == ((8, 2), 7, 4, 9)


@pytest.mark.parametrize(
    ("words", "loads", "has_overload"),
    [
        (["--workloads", "W3,W1"], ("W1", "W3"), False),
        (["--workloads", "W2"], ("W2",), True),
        (["--workloads", "W2", "--overload", "no"], ("W2",), False),
        (["--workloads", "W1", "--overload", "yes"], ("W1",), True),
        (["--overload", "only"], (), True),
    ],
)
def test_the_overload_comes_with_w2_unless_told_otherwise(
    words: list[str], loads: tuple[str, ...], has_overload: bool
) -> None:
    plan = planned(words)

    assert (plan.workloads, plan.has_overload) == (loads, has_overload)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--peers", "nginx"], "nginx is none of aml-serve, floor"),
        (["--workloads", "W9"], "W9 is none of W1, W2"),
        (["--concurrency", "1,many"], "1,many are no numbers of connections"),
        (["--concurrency", "0"], "0 are no numbers of connections"),
        (["--rounds", "few"], "invalid int value"),
    ],
)
def test_wrong_words_end_the_run_before_it_begins(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        planned(words)

    assert told in capsys.readouterr().err
