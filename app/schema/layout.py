"""How one record of a signature looks: which forms of `data` its depth allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.tensors import Signature, TensorSpec


@dataclass(frozen=True, slots=True)
class Layout:
    """What `forms` needs to know of a signature; computed once per model."""

    names: tuple[str, ...]
    depths: Mapping[str, int]
    """Input -> depth of one record's value: text or a number 0, a row 1, an image 3."""
    batched: bool
    record_depth: int | None
    """Depth of one record as a list; None: records of several tensors have names only."""
    columns: int
    """Values of a record given as a list by position; 0 when it is one value."""
    takes_text: bool
    """A record may itself be a text, so a text is never read as JSON."""
    refuses_extra: bool

    @classmethod
    def of(cls, signature: Signature) -> Layout:
        """The layout of every payload for `signature`."""
        inputs, batched = signature.inputs, signature.batched
        depths = {spec.name: record_depth(spec, batched) for spec in inputs}
        columns = 0
        depth: int | None = None
        if len(inputs) == 1:
            depth = depths[inputs[0].name]
        elif batched and not any(depths.values()):
            columns, depth = len(inputs), 1
        return cls(
            names=tuple(depths),
            depths=depths,
            batched=batched,
            record_depth=depth,
            columns=columns,
            takes_text=depth == 0 and inputs[0].dtype in ("string", "any"),
            refuses_extra=not signature.extra_columns,
        )


def record_depth(spec: TensorSpec, batched: bool) -> int:
    """Depth of the value of one record: all axes but the rows; a row of one value is one value."""
    shape = spec.shape[1:] if batched else spec.shape
    return 0 if batched and shape == (1,) else len(shape)


def holds_objects(rules: Mapping[str, Any]) -> bool:
    """By the constraints of a column: its values, or those in its lists, are objects."""
    while isinstance(rules.get("items"), dict):
        rules = rules["items"]
    return rules.get("type") in ("object", ["object", "null"])
