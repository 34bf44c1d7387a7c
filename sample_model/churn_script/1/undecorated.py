"""As much of inference-schema as score.py needs where that is not installed; checks nothing."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd


class NumpyParameterType:
    """Says what an array looks like, to nobody."""

    def __init__(self, sample: Any) -> None:
        """Taken as the package's own."""


class StandardPythonParameterType(NumpyParameterType):
    """Says what a dictionary looks like, to nobody."""


class PandasParameterType:
    """A list of records as a frame, in the order of the example's columns."""

    def __init__(self, sample: pd.DataFrame) -> None:
        """The types of its columns become those of a request."""
        self._sample = sample

    def frame(self, records: list[dict[str, Any]]) -> pd.DataFrame:
        """Raises: KeyError: a column is missing."""
        return pd.DataFrame(records)[list(self._sample)].astype(self._sample.dtypes)


def input_schema(name: str, kind: PandasParameterType) -> Callable[..., Callable[[str], Any]]:
    """`run` is a plain one, which takes the text of a request."""

    def decorate(run: Callable[..., Any]) -> Callable[[str], Any]:
        def asked(raw_data: str) -> Any:
            return run(kind.frame(json.loads(raw_data)[name]))

        return asked

    return decorate


def output_schema(_kind: Any) -> Callable[..., Any]:
    """`run` as it is."""
    return lambda run: run
