"""The ONNX form against scikit-learn: which rows it may answer, and does it answer them alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.runtimes.convert.columns import Column, columns_of, taken
from app.runtimes.convert.comparison import Comparison, median_s
from app.runtimes.convert.domain import Domain, Numbers, Texts
from app.runtimes.convert.edges import boundary_rows, cut_rows
from app.runtimes.convert.form import Accelerated, Form
from app.runtimes.convert.rows import Maker, of_golden
from app.runtimes.convert.trees import Unconvertible
from app.runtimes.convert.walk import Found, walk
from app.schema import Schema
from app.schema.examples import records
from app.tensors import Batch

MADE_UP: Final = 4000
_BASE: Final = 1500
"""Rows into which thresholds are put."""
_PROBES: Final = 8
"""Rows in which one value is made odd to see whether both still agree."""
_BOUNDS: Final = (1.7976931348623157e308, 3.4028234663852886e38, 1e30, 2.0**53, 1e15, 2.0**31)
"""How far from zero numbers are tried, the furthest first."""
_ODD_TEXTS: Final = (
    "",
    " ",
    "never seen",
    "\u00e9\u4e2d\U0001f600",
    "0",
    "nan",
    "None",
    "a\nb\t c",
)
_TIMED_S: Final = 0.3
_LEAST_GAIN: Final = 1.2
_PAIRS: Final = 500


class Trial:
    """One estimator and its form."""

    def __init__(self, reference: Any, form: Form, golden: Path | None, tolerance: float) -> None:
        self._reference = reference
        self._form = form
        self._schema = Schema(reference.signature)
        estimator = reference.estimator
        names = getattr(estimator, "feature_names_in_", None)
        width = getattr(estimator, "n_features_in_", None)
        self._columns: Sequence[Column] = columns_of(reference.signature, names, width)
        self._golden = of_golden(golden, self._schema)
        self._tolerance = tolerance
        self._maker = Maker(self._columns, self._found(), self._schema)
        self.rows: dict[str, int] = {}
        self.largest = 0.0
        self.domain = Domain({})

    def _found(self) -> Found:
        made = records(self._reference.signature, 2)
        sample = self._reference.given(self._schema.decode(made)[0])
        self._facts = walk(self._reference.estimator, len(self._columns), sample)
        return self._facts

    def judge(self) -> str:
        """Why the form may not be served; empty: it may.

        Raises:
            Unconvertible: there is nothing to compare by.
        """
        self._learn_golden()
        base = self._maker.rows(_BASE)
        self._refuse_unanswered(base)
        self.domain = self._narrowed(taken(base, np.arange(_PROBES)))
        cuts, values = cut_rows(self._facts, self._columns, base, self._reference.given)
        self._maker.pools.update(values)
        nulls = frozenset(i for i, c in enumerate(self._columns) if self._takes_null(c))
        groups = {
            "golden": self._golden,
            "made-up": self._maker.rows(MADE_UP, nulls),
            "threshold": cuts,
            "boundary": self._boundary(base),
        }
        accelerated = Accelerated(self._reference, self._form, self.domain)
        for kind, batch in groups.items():
            if batch is None or not batch.rows:
                continue
            compared = self._comparison(accelerated)
            if not compared.add(batch, f"{kind} rows"):
                return compared.difference
            self.rows[kind] = batch.rows
            self.largest = max(self.largest, compared.largest)
        return ""

    def times(self) -> tuple[float, float]:
        """Seconds for one row, by scikit-learn and by the form."""
        one = self._maker.rows(1)
        outputs = (self._reference.signature.outputs[0].name,)
        accelerated = Accelerated(self._reference, self._form, self.domain)
        before_s = median_s(lambda: self._reference.predict(one, outputs), _TIMED_S)
        return before_s, median_s(lambda: accelerated.predict(one, outputs), _TIMED_S)

    def _comparison(self, other: Any) -> Comparison:
        return Comparison(self._reference, other, self._reference.signature, self._tolerance)

    def _learn_golden(self) -> None:
        """Made-up rows have the values of golden ones, too."""
        for i, column in enumerate(self._columns):
            if self._golden is not None:
                self._maker.pools[i] = column.of(self._golden).tolist()

    def _refuse_unanswered(self, base: Batch) -> None:
        outputs = tuple(spec.name for spec in self._reference.signature.outputs)
        try:
            self._reference.predict(base, outputs)
        except Exception as error:
            raise Unconvertible(
                f"scikit-learn itself raises {type(error).__name__} for made-up rows, so there is "
                "nothing to compare by; a schema.json that says what is taken helps"
            ) from error

    def _narrowed(self, base: Batch) -> Domain:
        """The kinds of values for which both agree, one column at a time."""
        rules: dict[str, Numbers | Texts] = {}
        for i, column in enumerate(self._columns):
            rule = (
                self._texts(i, column, base) if column.kind == "O" else self._numbers(column, base)
            )
            before = rules.get(column.spec.name)
            if isinstance(before, Numbers) and isinstance(rule, Numbers):
                rule = Numbers(min(before.bound, rule.bound), before.null and rule.null)
            rules[column.spec.name] = rule
        return Domain(rules)

    def _numbers(self, column: Column, base: Batch) -> Numbers:
        if column.kind == "b":
            return Numbers(1.0, null=False)
        null = column.kind == "f" and self._agree(column, base, [math.nan])
        for bound in _BOUNDS:
            if column.kind != "f" and bound > 2.0**53:
                continue
            if self._agree(column, base, _far(column, bound)):
                return Numbers(bound, null)
        raise Unconvertible(f"large numbers in {column} are answered in another way")

    def _texts(self, i: int, column: Column, base: Batch) -> Texts:
        known = [k for k in self._facts.known.get(i, ()) if isinstance(k, str)]
        odd = [*_ODD_TEXTS, *(k.upper() + "x" for k in known[:3]), *(f"{k} " for k in known[:3])]
        if self._agree(column, base, odd):
            return Texts(None)
        if not known:
            raise Unconvertible(f"odd texts in {column} are answered in another way")
        return Texts(frozenset(known))

    def _agree(self, column: Column, base: Batch, values: Sequence[Any]) -> bool:
        """With each of `values` in `column` of each row the form answers as scikit-learn does."""
        for value in values:
            rows = taken(base, np.arange(base.rows))
            array = np.empty(base.rows, column.of(base).dtype)
            array[:] = value
            column.put(rows, array)
            if not self._comparison(self._form).alike(rows).all():
                return False
        return True

    def _takes_null(self, column: Column) -> bool:
        rule = self.domain.rules[column.spec.name]
        return column.spec.nullable and isinstance(rule, Numbers) and rule.null

    def _boundary(self, base: Batch) -> Batch | None:
        first = self._reference.signature.outputs[0]
        if first.name != "label" or len(first.shape) != 1:
            return None
        name = (first.name,)
        return boundary_rows(
            base,
            self._columns,
            lambda batch: np.asarray(self._reference.predict(batch, name)[first.name]),
            _PAIRS,
        )


def _far(column: Column, bound: float) -> list[float]:
    """On both sides of zero, as far as the type goes."""
    if column.kind == "f":
        limit = float(np.finfo(column.spec.dtype).max)
        return [min(bound, limit), -min(bound, limit)]
    info = np.iinfo(column.spec.dtype)
    return [min(int(bound), int(info.max)), max(-int(bound), int(info.min))]


def refused(gain: float) -> str:
    """Why a form that is equal is not served; empty: it is fast enough."""
    return "" if gain >= _LEAST_GAIN else f"the ONNX form is not faster ({gain:.1f} times)"
