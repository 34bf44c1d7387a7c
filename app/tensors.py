"""The nouns that travel between the parts: what a model takes and gives. Pure; no model library.

The data types of a `TensorSpec` are numpy's names (`float32`, `int64`, `bool` ...) and four more:
`bfloat16` (held as float32), `string` (object array of str), `datetime` (datetime64[us], UTC) and
`any` (object array; what the values must be is not known).

What is made for each request is not frozen: that costs a fifth of a microsecond for every field.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Prediction = dict[str, Any]
"""Output name -> array with rows first; or whatever a sequence or map output holds."""


@lru_cache(maxsize=64)
def storage(dtype: str) -> np.dtype[Any]:
    """The numpy type that holds values of `dtype`, one of a `TensorSpec`, in a batch."""
    held = {"string": "O", "any": "O", "datetime": "datetime64[us]", "bfloat16": "float32"}
    return np.dtype(held.get(dtype, dtype))


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Registry, name and exact version: the identity of one immutable set of files."""

    registry: str
    name: str
    version: str
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.registry, self.name, self.version)))

    def __hash__(self) -> int:
        return self._hash  # each request looks models up by it

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named input or output. `shape` has None where any size goes; rows come first."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    nullable: bool = False
    """Null is taken, as NaN in a float column."""
    required: bool = True
    default: Any = None
    """Stands in for an absent value of a column that is not required."""
    constraints: Mapping[str, Any] = field(default_factory=dict)
    """JSON Schema keywords for one value beyond its type: enum, minimum, pattern ..."""
    examples: tuple[Any, ...] = ()
    """Values that are known to be good, where any are."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The schema in memory: what goes in and what comes out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    kind: Literal["tensors", "raw"] = "tensors"
    result: str = ""
    """The output that `results` holds when the request names none."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Further names of outputs: `label` -> the graph's own name."""
    classes: tuple[Any, ...] = ()
    """What the columns of `probabilities` stand for."""
    extra_columns: bool = True
    """Columns beyond the inputs are ignored, not refused."""
    declared: Mapping[str, Any] | None = None
    """The JSON Schema of one record, where the model folder has one."""
    guessed: tuple[str, ...] = ()
    """Inputs of which the type is not known for sure."""
    params: tuple[TensorSpec, ...] = ()
    """What a request may say to the model beside its rows, one value each."""
    input_names: tuple[str, ...] = ()
    """What requests may call the inputs in place of `data`; they then have no unknown keys."""
    casts: bool = False
    """Numbers with a fraction lose it where integers are wanted."""

    @property
    def batched(self) -> bool:
        """The first axis of every input is rows, as many as one likes."""
        return bool(self.inputs) and all(s.shape and s.shape[0] is None for s in self.inputs)

    def canonical(self, names: Iterable[str]) -> tuple[str, ...]:
        """The model's own names of the outputs called `names`, each once."""
        known = {spec.name for spec in self.outputs}
        return tuple(dict.fromkeys(n if n in known else self.aliases[n] for n in names))


@dataclass(slots=True)
class Batch:
    """Well-shaped rows for one model: an array per input, all with `rows` first."""

    arrays: dict[str, Array]
    rows: int
    extra_columns: int = 0
    """Columns the request had beyond the inputs; they were ignored."""

    def matrix(self, names: Sequence[str], dtype: str) -> Array:
        """One column each of `names`, side by side: `(rows, columns)`."""
        columns = [np.reshape(self.arrays[name], self.rows) for name in names]
        return np.stack(columns, axis=1).astype(storage(dtype), copy=False)

    def row_key(self) -> tuple[Any, ...]:
        """Equal for batches that may be joined: same inputs, row shapes and data types."""
        return tuple((name, a.shape[1:], a.dtype) for name, a in self.arrays.items())

    @classmethod
    def join(cls, batches: Sequence[Batch]) -> Batch:
        """The rows of all, in order; their `row_key` must be equal."""
        if len(batches) == 1:
            return batches[0]
        names = batches[0].arrays
        arrays = {name: np.concatenate([b.arrays[name] for b in batches]) for name in names}
        return batches[0].of(arrays, sum(b.rows for b in batches))

    def of(self, arrays: dict[str, Array], rows: int) -> Batch:
        """Other rows of the same kind."""
        return Batch(arrays, rows)


@dataclass(slots=True)
class BatchWithParams(Batch):
    """Rows, and what a request says to the model beside them; joined only with the same."""

    params: Mapping[str, Any] = field(default_factory=dict)

    def row_key(self) -> tuple[Any, ...]:
        """See `Batch`."""
        return (*Batch.row_key(self), repr(sorted(self.params.items())))

    def of(self, arrays: dict[str, Array], rows: int) -> Batch:
        """See `Batch`."""
        return BatchWithParams(arrays, rows, params=self.params)


@dataclass(slots=True)
class RawRequest:
    """One HTTP request as it came, for a model of the `raw` kind."""

    method: str
    path: str
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    """Names in lower case."""
    body: bytes = b""
    client: str = ""
    """Its address."""
    request_id: str = ""
    """For the log."""


@dataclass(slots=True)
class RawBatch(Batch):
    """One request, which is never joined with another."""

    request: RawRequest = field(default_factory=lambda: RawRequest("POST", "/score", b"", ()))

    def row_key(self) -> tuple[Any, ...]:
        """See `Batch`."""
        return (id(self),)

    @classmethod
    def of_request(cls, request: RawRequest) -> RawBatch:
        """Counts as one row."""
        return cls({}, 1, 0, request)


@dataclass(slots=True)
class Call:
    """One decoded request."""

    batch: Batch
    single: bool
    """One record came in, so one result goes out."""
    outputs: tuple[str, ...] | None = None
    """The outputs asked for; None: the signature's `result` alone."""
    bare: bool = False
    """The answer is the value itself, not an object around it (Azure ML's `input_data`)."""


class Stream(Protocol):
    """A body that comes in parts."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The parts."""
        ...

    async def aclose(self) -> None:
        """Nobody reads on."""
        ...


@dataclass(slots=True)
class Reply:
    """What goes back: headers are lower-case names with their values."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes | Stream

    nbytes: ClassVar[int] = 0
    """Of it nothing is left to encode, where it is the output of a model."""


class Apart(Protocol):
    """A scoring script: a model that answers from processes of its own; a `Model` besides."""

    @property
    def processes(self) -> int:
        """How many; each has one request at a time."""
        ...

    @property
    def swagger(self) -> Mapping[str, Any]:
        """`input`, `output` and `versions`, where its decorators declare them; else empty."""
        ...

    @property
    def resident_bytes(self) -> int:
        """What they take of memory."""
        ...

    async def answer(
        self, batch: Batch, outputs: tuple[str, ...], began: Callable[[float], None]
    ) -> Prediction:
        """As `Model.predict`, on the event loop, which it never keeps waiting.

        Args:
            began: called when a process begins with it, with `time.perf_counter()`.

        Raises:
            ServingError: it has no answer.
        """
        ...


class Model(Protocol):
    """A model in memory."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives; never changes."""
        ...

    @property
    def is_steady(self) -> bool:
        """How long a call takes depends on its rows' number and shape, and on nothing else."""
        ...

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """The outputs asked for. Blocking; called in a worker thread, by several at once.

        Args:
            outputs: at least one of the names in `signature.outputs`.
        """
        ...
