"""The parts of a comparison: where models turn, which rows may go where, what counts as equal."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from app.runtimes.convert import Report
from app.runtimes.convert.columns import Column
from app.runtimes.convert.comparison import Comparison, distances
from app.runtimes.convert.domain import Domain, Numbers, Texts
from app.runtimes.convert.edges import _rank, _value, beside, turning
from app.runtimes.convert.form import Form
from app.runtimes.convert.shadow import Shadowed
from app.runtimes.convert.trees import grown_in
from app.runtimes.convert.walk import Cuts, walk
from app.tensors import Batch, Prediction, Signature, TensorSpec

NUMBERS = st.floats(-1e12, 1e12, allow_subnormal=False)
ANY = st.floats(allow_nan=False)


@given(ANY)
def test_neighbouring_doubles_have_neighbouring_ranks(value: float) -> None:
    (rank,) = _rank(np.array([value]))
    (after,) = _rank(np.array([math.nextafter(value, math.inf)]))

    assert _value(np.array([rank]))[0] == value
    assert after - rank == (value != math.inf)


@given(NUMBERS, st.floats(1e-3, 1e3), NUMBERS, st.booleans(), st.booleans())
def test_the_last_value_on_the_left_of_a_threshold_is_found(
    mean: float, scale: float, threshold: float, is_narrow: bool, is_falling: bool
) -> None:
    side = -1 if is_falling else 1
    column = Column(TensorSpec("x", "float64", (None,)))
    cuts = Cuts(0, lambda x: side * (x - mean) / scale, 0, np.array([threshold]), is_narrow)

    def given_of(batch: Batch) -> Any:
        return batch.arrays["x"].reshape(-1, 1)

    (turn,) = turning(cuts, cuts.thresholds, column, Batch({"x": np.zeros(1)}, 1), given_of)

    if not math.isnan(turn):
        around = np.array([[turn], [np.nextafter(turn, math.inf * side)]])
        assert (cuts.seen(around) <= threshold).tolist() == [True, False]
    else:
        assert len(set((cuts.seen(np.array([[-1e15], [1e15]])) <= threshold).tolist())) == 1


def test_rows_beside_a_threshold_are_one_step_away_in_both_widths() -> None:
    values = sorted({float(v[0]) for v in beside(np.array([0.1]), np.dtype("float64"))})
    narrow = float(np.float32(0.1))

    assert {0.1, np.nextafter(0.1, 1), np.nextafter(0.1, 0), narrow} <= set(values)
    assert {float(np.nextafter(np.float32(0.1), np.float32(s))) for s in (0, 1)} <= set(values)
    assert [v[0] for v in beside(np.array([2.5]), np.dtype("int64"))] == [1, 2, 3, 4]


def test_thresholds_and_bins_are_traced_to_the_columns_of_the_request() -> None:
    rows = np.random.default_rng(0).normal(size=(80, 3))
    columns = ColumnTransformer(
        [
            ("s", StandardScaler(), [2, 0]),
            ("b", KBinsDiscretizer(3, encode="ordinal", strategy="uniform"), [1]),
        ]
    )
    estimator = make_pipeline(columns, DecisionTreeClassifier(max_depth=3))
    estimator.fit(rows, (rows[:, 0] > 0.3).astype(int) + (rows[:, 2] > 1))
    found = walk(estimator, 3, rows[:2])

    assert {cuts.column for cuts in found.cuts if cuts.tree is None} == {1}
    assert {cuts.column for cuts in found.cuts if cuts.tree is not None} == {0, 2}
    assert found.spans.keys() == {0, 2}


@pytest.mark.parametrize(
    "estimator", [RandomForestRegressor(3, random_state=0), HistGradientBoostingRegressor()]
)
def test_each_node_is_told_a_row_that_comes_by(estimator: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32).astype(float)
    trees = grown_in(estimator.fit(rows, rows[:, 0] * rows[:, 1]))
    visited = [tree.visitors(rows) for tree in trees]

    assert all((visitors >= 0).mean() > 0.9 for visitors in visited)
    if isinstance(estimator, RandomForestRegressor):
        for fitted, visitors in zip(estimator.estimators_, visited, strict=True):
            paths = fitted.decision_path(rows.astype(np.float32)).toarray()
            assert all(paths[row, node] for node, row in enumerate(visitors) if row >= 0)


def batch(**arrays: Any) -> Batch:
    held = {name: np.asarray(values) for name, values in arrays.items()}
    return Batch(held, len(next(iter(held.values()))))


@given(st.floats(0, 1e308), st.booleans(), st.lists(st.one_of(ANY, st.just(math.nan)), min_size=1))
def test_a_domain_holds_what_lies_within_its_bounds(
    bound: float, null: bool, values: list[float]
) -> None:
    domain = Domain({"x": Numbers(bound, null)})
    fits = [abs(value) <= bound or (value != value and null) for value in values]

    assert domain.holds(batch(x=np.array(values))) == all(fits)
    assert [domain.holds(batch(x=np.array([v]))) for v in values] == fits
    assert Domain.read(domain.document()) == domain


def test_a_domain_holds_texts_and_no_nulls() -> None:
    any_text, known = Domain({"t": Texts(None)}), Domain({"t": Texts(frozenset("ab"))})

    for domain, rows in ((any_text, ["x", ""]), (known, ["a", "b"])):
        assert domain.holds(batch(t=np.array(rows, object)))
        assert not domain.holds(batch(t=np.array([*rows, None], object)))
        assert Domain.read(domain.document()) == domain
    assert not known.holds(batch(t=np.array(["a", "c"], object)))
    assert any_text.told({"t"}) == ""
    assert known.told({"t"}) == "unseen texts in t"


def test_a_null_among_booleans_goes_to_scikit_learn() -> None:
    domain = Domain({"b": Numbers(1.0, null=False)})

    assert domain.holds(batch(b=np.array([True, False])))
    assert not domain.holds(batch(b=np.array([True, None], object)))
    assert not domain.holds(batch(b=np.array([None], object)))


@pytest.mark.parametrize(
    ("wanted", "got", "apart"),
    [
        ([1.0], [1.0 + 1e-7], 1e-7),
        ([1e6], [1e6 + 1], 1e-6),
        ([math.nan], [math.nan], 0),
        ([math.inf], [math.inf], 0),
        ([math.nan], [1.0], math.inf),
        ([math.inf], [-math.inf], math.inf),
        ([3], [3], 0),
        ([3], [4], math.inf),
        (["a"], ["b"], math.inf),
    ],
)
def test_numbers_are_apart_by_the_smaller_measure_and_classes_by_all_or_nothing(
    wanted: list[Any], got: list[Any], apart: float
) -> None:
    assert distances(np.array(wanted), np.array(got))[0] == pytest.approx(apart, rel=1e-2)


class Root:
    """The square root, but not of what it refuses."""

    def __init__(self, refused: float, shift: float = 0.0) -> None:
        self.refused, self.shift = refused, shift

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        x = batch.arrays["x"]
        if (x == self.refused).any():
            raise ValueError("refused")
        return {name: np.sqrt(x) + self.shift for name in outputs}


SIGNATURE = Signature(
    (TensorSpec("x", "float64", (None,)),), (TensorSpec("y", "float64", (None,)),), result="y"
)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_rows_that_raise_are_found_among_others(values: list[int]) -> None:
    rows = batch(x=np.array(values, float))
    alike = Comparison(Root(3), Root(4), SIGNATURE, 1e-6).alike(rows)

    assert alike.tolist() == [value not in (3, 4) for value in values]


def test_the_first_difference_is_told_with_its_row() -> None:
    rows = batch(x=np.array([1.0, 3.0]))
    close, far = (Comparison(Root(-1), Root(-1, s), SIGNATURE, 1e-6) for s in (1e-7, 1.0))
    raising = Comparison(Root(3), Root(-1), SIGNATURE, 1e-6)

    assert close.add(rows, "made-up rows")
    assert close.largest == pytest.approx(1e-7, rel=0.01)
    assert not far.add(rows, "made-up rows")
    assert far.difference == "made-up rows, row 0: y: ONNX gives 2.0, scikit-learn 1.0"
    assert not raising.add(rows, "golden rows")
    assert "row 1: ONNX gives" in raising.difference
    assert raising.difference.endswith("scikit-learn it raises ValueError")


class Steady(Root):
    """A model."""

    signature = SIGNATURE
    is_steady = True


def shadowed(other: Root) -> Shadowed:
    form: Any = other
    assert hasattr(Form, "predict")
    model = Shadowed(Steady(-1), form, Domain({"x": Numbers(100.0, null=False)}), 1e-6)
    model.is_live = True
    return model


def settle(model: Shadowed, rows: int) -> None:
    ends = time.monotonic() + 10
    while model.compared + model.left_out < rows and time.monotonic() < ends:
        time.sleep(0.005)


@pytest.mark.parametrize(("other", "different"), [(Root(-1), 0), (Root(-1, 1.0), 2), (Root(4), 2)])
def test_a_shadow_counts_and_changes_no_answer(other: Root, different: int) -> None:
    model = shadowed(other)
    answer = model.predict(batch(x=np.array([4.0, 9.0])), ("y",))
    settle(model, 2)

    assert answer["y"].tolist() == [2.0, 3.0]
    assert (model.compared, model.different) == (2, different)
    assert model.told() == f"2 rows compared, {different} differ, 0 left out"


def test_a_shadow_leaves_out_what_it_has_no_time_or_no_rule_for() -> None:
    model = shadowed(Root(-1))
    started = time.perf_counter()
    for _ in range(100):
        model.predict(batch(x=np.array([4.0])), ("y",))
    spent_s = time.perf_counter() - started
    model.predict(batch(x=np.array([1e6])), ("y",))
    settle(model, 101)

    assert spent_s < 0.4  # 100 comparisons would take half a second at least
    assert model.left_out > 50
    assert model.compared + model.left_out == 101


def test_a_report_says_yes_or_why_not() -> None:
    fine = Report(rows={"golden": 2, "made-up": 4000}, largest=2e-16, before_s=1e-3, after_s=1e-5)

    assert fine.told() == (
        "yes: 4002 rows compared, largest difference 2e-16, one row 100 times as fast"
    )
    assert Report(reason="it differs").told() == "no: it differs"
