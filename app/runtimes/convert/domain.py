"""Which rows the ONNX form may answer: those of a kind that was compared and found equal. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.tensors import Array, Batch


@dataclass(frozen=True, slots=True)
class Numbers:
    """Of one input of numbers."""

    bound: float
    """No value is further from zero."""
    null: bool
    """NaN is taken."""

    def holds(self, array: Array) -> bool:
        """Each value of `array` is of a kind that was compared."""
        kind = array.dtype.kind
        if array.size == 1 and kind != "O":
            value = array.item()
            return -self.bound <= value <= self.bound or (self.null and value != value)
        if kind == "b" or kind == "O":
            return kind == "b"
        if self.null:
            return not (np.abs(array) > self.bound).any()
        return bool((np.abs(array) <= self.bound).all())


@dataclass(frozen=True, slots=True)
class Texts:
    """Of one input of texts."""

    known: frozenset[str] | None
    """None: any text."""

    def holds(self, array: Array) -> bool:
        """Each value of `array` is a text, and a known one where that matters."""
        if self.known is None:
            return all(type(value) is str for value in array.flat)
        return all(value in self.known for value in array.flat)


@dataclass(frozen=True, slots=True)
class Domain:
    """A rule for each input."""

    rules: Mapping[str, Numbers | Texts]

    def holds(self, batch: Batch) -> bool:
        """All rows of `batch` may go to the ONNX form."""
        arrays = batch.arrays
        return all(rule.holds(arrays[name]) for name, rule in self.rules.items())

    def told(self, nullable: Collection[str]) -> str:
        """What is left to scikit-learn, for people; of nulls only those in `nullable` inputs."""
        rules = {n: r for n, r in self.rules.items() if isinstance(r, Numbers)}
        no_null = [n for n, rule in rules.items() if n in nullable and not rule.null]
        known = [n for n, r in self.rules.items() if isinstance(r, Texts) and r.known is not None]
        parts = [f"nulls in {_some(no_null)}"] if no_null else []
        parts += [f"unseen texts in {_some(known)}"] if known else []
        return " and ".join(parts)

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        found: dict[str, Any] = {}
        for name, rule in self.rules.items():
            found[name] = asdict(rule) if isinstance(rule, Numbers) else {"known": None}
            if isinstance(rule, Texts) and rule.known is not None:
                found[name]["known"] = sorted(rule.known)
        return found

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Domain:
        """What `document` wrote."""
        rules: dict[str, Numbers | Texts] = {}
        for name, rule in document.items():
            if "bound" in rule:
                rules[name] = Numbers(float(rule["bound"]), bool(rule["null"]))
            else:
                known = rule["known"]
                rules[name] = Texts(None if known is None else frozenset(known))
        return cls(rules)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
