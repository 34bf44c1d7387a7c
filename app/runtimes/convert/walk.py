"""Where the parts of a fitted estimator change their answer: thresholds, bins, categories, words.

Each is told with the column of the request that it looks at, and with a function that gives what
the part sees, so that the very value of the column at which it turns can be searched for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, StandardScaler
from sklearn.utils import _safe_indexing

from app.runtimes.convert.trees import Tree, grown_in, is_narrow
from app.tensors import Array

Feed = Callable[[Any], Any]
"""What the estimator is called with -> what a part of it sees."""
Columns = list[int | None]
"""For each column that a part sees, the column of the request that alone makes it; or None."""

_INNER: Final = ("best_estimator_", "regressor_", "estimator_", "estimator")


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Thresholds of one column; a value at most as large as one is on its left."""

    column: int
    """Of the request."""
    feed: Feed
    feature: int
    """Of what `feed` gives."""
    thresholds: Array
    is_narrow: bool = False
    """Compared after rounding to 32 bits."""
    tree: Tree | None = None
    nodes: Array | None = None
    """Of `tree`, one for each threshold."""

    def seen(self, given: Any) -> Array:
        """What is compared with the thresholds."""
        values = dense(self.feed(given))[:, self.feature].astype(np.float64)
        return values.astype(np.float32).astype(np.float64) if self.is_narrow else values


@dataclass(slots=True)
class Found:
    """All of an estimator, by the columns of the request."""

    cuts: list[Cuts] = field(default_factory=list)
    known: dict[int, list[Any]] = field(default_factory=dict)
    """Categories."""
    words: dict[int, list[str]] = field(default_factory=dict)
    spans: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Where most values of a column were at training."""


def dense(values: Any) -> Array:
    """As an array."""
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


def walk(estimator: Any, width: int, sample: Any) -> Found:
    """What is in `estimator`, of `width` columns; `sample`: something it may be called with."""
    walker = _Walker(sample)
    walker.into(estimator, lambda given: given, list(range(width)))
    return walker.found


class _Walker:
    def __init__(self, sample: Any) -> None:
        self.found = Found()
        self._sample = sample

    def into(self, part: Any, feed: Feed, columns: Columns) -> None:
        """What ends a chain: an estimator, alone or of others."""
        if isinstance(part, Pipeline):
            for _, step in part.steps[:-1]:
                feed, columns = self.through(step, feed, columns)
            self.into(part.steps[-1][1], feed, columns)
            return
        trees = grown_in(part)
        for tree in trees:
            self._add_tree(tree, feed, columns, narrow=is_narrow(part))
        if isinstance(part, BernoulliNB) and part.binarize is not None:
            self._add_cuts(feed, columns, [[part.binarize]] * len(columns))
        self._add_words(part, columns)
        for inner, chosen in () if trees else _within(part):
            if chosen is None:
                self.into(inner, feed, columns)
            else:
                taken = [columns[i] for i in chosen]
                self.into(inner, partial(_select, feed, chosen), taken)

    def through(self, part: Any, feed: Feed, columns: Columns) -> tuple[Feed, Columns]:
        """What a step of a chain gives on to the next."""
        if part is None or isinstance(part, str):
            return feed, columns
        if isinstance(part, Pipeline):
            for _, step in part.steps:
                feed, columns = self.through(step, feed, columns)
            return feed, columns
        after = partial(_transformed, part, feed)
        if isinstance(part, ColumnTransformer):
            return after, self._split(part, feed, columns)
        if isinstance(part, FeatureUnion):
            made: Columns = []
            for _, inner in part.transformer_list:
                made += self.through(inner, feed, columns)[1]
            return after, made
        self._note(part, feed, columns)
        return after, self._made(part, after, columns)

    def _split(self, part: ColumnTransformer, feed: Feed, columns: Columns) -> Columns:
        width = dense(_transformed(part, feed, self._sample)).shape[1]
        made: Columns = [None] * width
        names = getattr(part, "feature_names_in_", None)
        for name, inner, chosen in part.transformers_:
            at = _positions(chosen, len(columns), names)
            taken = [columns[i] for i in at]
            if inner == "drop" or not at:
                continue
            _, given = self.through(inner, partial(_select, feed, chosen), taken)
            place = part.output_indices_[name]
            if place.stop - place.start == len(given):
                made[place] = given
        return made

    def _made(self, part: Any, after: Feed, columns: Columns) -> Columns:
        width = dense(after(self._sample)).shape[1]
        if hasattr(part, "get_support"):
            return [columns[i] for i in part.get_support(indices=True)]
        is_same = isinstance(part, (OneToOneFeatureMixin, SimpleImputer))
        is_number = not hasattr(part, "categories_")
        return columns if is_same and is_number and width == len(columns) else [None] * width

    def _note(self, part: Any, feed: Feed, columns: Columns) -> None:
        if isinstance(part, KBinsDiscretizer):
            below = [np.nextafter(edges[1:-1], -np.inf) for edges in part.bin_edges_]
            self._add_cuts(feed, columns, below)  # a value on an edge is above it
        if isinstance(part, Binarizer):
            self._add_cuts(feed, columns, [[part.threshold]] * len(columns))
        categories = getattr(part, "categories_", None)
        if isinstance(categories, list) and len(categories) == len(columns):
            for column, values in _told(columns, categories):
                self.found.known.setdefault(column, []).extend(np.asarray(values).tolist())
        self.found.spans.update(_spans(part, columns))
        self._add_words(part, columns)

    def _add_words(self, part: Any, columns: Columns) -> None:
        vocabulary = getattr(part, "vocabulary_", None)
        if isinstance(vocabulary, dict) and len(columns) == 1 and columns[0] is not None:
            self.found.words[columns[0]] = sorted(vocabulary)

    def _add_cuts(self, feed: Feed, columns: Columns, thresholds: Iterable[Any]) -> None:
        for i, (column, values) in enumerate(zip(columns, thresholds, strict=False)):
            if column is not None and len(values):
                self.found.cuts.append(Cuts(column, feed, i, np.asarray(values, np.float64)))

    def _add_tree(self, tree: Tree, feed: Feed, columns: Columns, *, narrow: bool) -> None:
        nodes = np.flatnonzero(~tree.is_leaf)
        for feature in np.unique(tree.feature[nodes]).tolist():
            column = columns[feature]
            if column is not None:
                at = nodes[tree.feature[nodes] == feature]
                cuts = Cuts(column, feed, feature, tree.threshold[at], narrow, tree, at)
                self.found.cuts.append(cuts)


def _told(columns: Columns, facts: Iterable[Any]) -> Iterable[tuple[int, Any]]:
    """Those facts of which it is known what column of the request they are about."""
    return [(c, fact) for c, fact in zip(columns, facts, strict=True) if c is not None]


def _spans(part: Any, columns: Columns) -> dict[int, tuple[float, float]]:
    """Where values were at training, as far as a scaler tells."""
    if isinstance(part, StandardScaler) and part.with_mean and part.with_std:
        sides = np.stack([part.mean_ - 4 * part.scale_, part.mean_ + 4 * part.scale_], axis=1)
    elif hasattr(part, "data_min_"):
        sides = np.stack([part.data_min_, part.data_max_], axis=1)
    else:
        return {}
    return {column: (float(low), float(high)) for column, (low, high) in _told(columns, sides)}


def _within(part: Any) -> Iterable[tuple[Any, list[int] | None]]:
    """The fitted estimators that `part` asks, and which columns it shows to each (None: all)."""
    several = getattr(part, "estimators_", None)
    if several is not None:
        flat = np.ravel(np.asarray(several, dtype=object)).tolist()
        chosen = getattr(part, "estimators_features_", None) or [None] * len(flat)
        chosen = [None if c is None else [int(i) for i in c] for c in chosen]
        return [(e, c) for e, c in zip(flat, chosen, strict=False) if hasattr(e, "predict")]
    calibrated = getattr(part, "calibrated_classifiers_", None)
    if calibrated is not None:
        return [(each.estimator, None) for each in calibrated]
    for name in _INNER:
        inner = getattr(part, name, None)
        if hasattr(inner, "predict"):
            return [(inner, None)]
    return ()


def _transformed(part: Any, feed: Feed, given: Any) -> Any:
    return dense(part.transform(feed(given)))


def _select(feed: Feed, chosen: Any, given: Any) -> Any:
    return _safe_indexing(feed(given), chosen, axis=1)


def _positions(chosen: Any, width: int, names: Any) -> list[int]:
    """The columns that a selection of a ColumnTransformer stands for."""
    if callable(chosen):
        return []
    known = [] if names is None else list(names)
    if isinstance(chosen, slice):
        start = known.index(chosen.start) if isinstance(chosen.start, str) else chosen.start
        stop = known.index(chosen.stop) + 1 if isinstance(chosen.stop, str) else chosen.stop
        return list(range(width))[slice(start, stop, chosen.step)]
    several = [chosen] if isinstance(chosen, str) or np.ndim(chosen) == 0 else list(chosen)
    if several and all(isinstance(each, (bool, np.bool_)) for each in several):
        return [i for i, taken in enumerate(several) if taken]
    return [known.index(each) if isinstance(each, str) else int(each) for each in several]
