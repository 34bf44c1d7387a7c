"""`params` of a request: what is said to a model beside its rows."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np

from app.errors import Fault, SchemaMismatch
from app.schema import values
from app.schema.forms import kind
from app.tensors import Signature


def read(given: Any, signature: Signature) -> Mapping[str, Any]:
    """What was given, by its types; the model knows its own defaults of the rest.

    Raises:
        SchemaMismatch: it does not fit, with every fault; or the model takes none.
    """
    known = {spec.name: spec for spec in signature.params}
    if not known:
        raise SchemaMismatch("this model takes no params")
    if not isinstance(given, dict):
        raise SchemaMismatch(f"params must be an object, got {kind(given)}")
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in given.items():
        spec = known.get(name)
        if spec is None:
            near = difflib.get_close_matches(name[:100], known, n=1)
            wanted = f"a parameter of the model ({', '.join(known)})"
            got = f"an unknown one: {name[:100]}"
            faults.append(Fault(None, "params", wanted, got, near[0] if near else None))
            continue
        column = f"params.{name}"
        depth = len(spec.shape) - 1
        array, wrong = values.one_by_one([value], spec, depth, column, single=True)
        faults += wrong
        found[name] = None if array is None else _plain(array[0])
    if faults:
        raise SchemaMismatch.of(faults)
    return found


def _plain(value: Any) -> Any:
    """As Python has it, which is what a model's own code expects; a time stays numpy's."""
    if isinstance(value, np.datetime64):
        return value
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
