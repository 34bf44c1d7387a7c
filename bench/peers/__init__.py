"""The servers that are measured: how each is started, asked and understood.

`TABLE` names them in the order of the results. A folder here is one of them: `peer.py` is read by
the bench, `serve.py` is the server's own code and runs in the environment that `requirements.txt`
pins. This module is imported in all of those environments: standard library only.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).parents[2]
SUBJECT: Final = "aml-serve"
FLOOR: Final = "floor"

TABLE: Final[Mapping[str, str]] = {
    SUBJECT: "bench.peers.aml_serve.peer",
    FLOOR: "bench.peers.floor.peer",
    "fastapi-tuned": "bench.peers.fastapi_tuned.peer",
    "fastapi": "bench.peers.fastapi_plain.peer",
    "kserve": "bench.peers.kserve.peer",
    "mlserver": "bench.peers.mlserver.peer",
    "azureml": "bench.peers.azureml.peer",
    "mlflow": "bench.peers.mlflow.peer",
    "litserve": "bench.peers.litserve.peer",
    "bentoml": "bench.peers.bentoml.peer",
    "flask": "bench.peers.flask.peer",
    "pytriton": "bench.peers.pytriton.peer",
}

JSON_WORKLOADS: Final = frozenset({"W1", "W2", "W3", "W4", "W5"})


@dataclass(frozen=True, slots=True)
class Job:
    """One workload for one server to serve, once."""

    workload: str
    model: Path
    """The model file; the same for every server."""
    payload: Path
    """The requests with their known answers, as JSON."""
    ports: tuple[int, int, int]
    """The first is the one that is asked."""
    scratch: Path
    """A folder that is empty at the start and gone at the end."""
    python: Path

    @property
    def port(self) -> int:
        """Where requests go."""
        return self.ports[0]

    def module(self, *words: str) -> list[str]:
        """The command that runs `python -m words`."""
        return [str(self.python), "-m", *words]


@dataclass(frozen=True, slots=True)
class Request:
    """One POST."""

    path: str
    body: bytes
    headers: Mapping[str, str]


Rows = Sequence[Any]
"""Nested lists of numbers, or one dict per row."""


def dumps(document: Any) -> bytes:
    """JSON as most clients send it, without blanks."""
    return json.dumps(document, separators=(",", ":")).encode()


def data_request(path: str) -> Callable[[str, Rows], Request]:
    """Requests of the form `{"data": rows}`."""

    def request(workload: str, rows: Rows) -> Request:
        return json_request(path.format(model=workload.lower()), {"data": rows})

    return request


def json_request(path: str, document: Any) -> Request:
    """A POST of `document`."""
    return Request(path, dumps(document), {"Content-Type": "application/json"})


def answer_under(key: str) -> Callable[[bytes, Mapping[str, str]], Any]:
    """Reads answers of the form `{key: predictions}`."""

    def answer(body: bytes, headers: Mapping[str, str]) -> Any:
        return json.loads(body)[key]

    return answer


_TO_PREDICT: Final = data_request("/predict")
_RESULTS: Final = answer_under("results")


def nothing(job: Job) -> Mapping[str, str]:
    """No variables."""
    return {}


@dataclass(frozen=True, slots=True)
class Peer:
    """One server."""

    title: str
    form: str
    """How it runs and what it answers with, for the reader of the results."""
    command: Callable[[Job], list[str]]
    package: str | None = None
    """The distribution whose version is told; None when it runs in the project's environment."""
    variables: Callable[[Job], Mapping[str, str]] = nothing
    prepare: Callable[[Job], list[str]] | None = None
    """A command to run before the server, in its environment, that is not timed."""
    request: Callable[[str, Rows], Request] = _TO_PREDICT
    answer: Callable[[bytes, Mapping[str, str]], Any] = _RESULTS
    workloads: frozenset[str] = JSON_WORKLOADS
    leaves: tuple[str, ...] = ()
    """Patterns of what it leaves behind outside its scratch folder."""
    checks: str = "nothing"
    """What it checks of a row of W5."""


def get(name: str) -> Peer:
    """The peer of that name in `TABLE`."""
    found = importlib.import_module(TABLE[name]).PEER
    assert isinstance(found, Peer)
    return found


def folder(name: str) -> Path:
    """Where the peer's files are."""
    return ROOT / Path(*TABLE[name].split(".")[:-1])
