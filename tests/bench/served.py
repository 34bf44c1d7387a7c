"""A small workload that the floor answers, and peers made for one test."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench import peers
from bench.peers import Job, Peer
from bench.workloads import Check, Workload

ROWS = [[[0.5, 1.5]], [[2.5, 3.5]]]
KNOWN = [[[0.25, 0.75]], [[0.5, 0.5]]]


def a_workload(folder: Path, answered: list[Any] = KNOWN, known: list[Any] = KNOWN) -> Workload:
    """The floor answers what is in the payload; the bench compares that with what is known."""
    payload = folder / "payload.json"
    pairs = zip(ROWS, answered, strict=True)
    checks = [{"rows": rows, "expected": expected} for rows, expected in pairs]
    payload.write_text(json.dumps({"checks": checks}))
    pairs = zip(ROWS, known, strict=True)
    return Workload("W2", folder / "model.onnx", payload, tuple(Check(*pair) for pair in pairs))


def a_peer(monkeypatch: pytest.MonkeyPatch, code: str, **more: Any) -> str:
    """The name of a server of this code, for the length of a test."""

    def command(job: Job) -> list[str]:
        return [str(job.python), "-c", code, str(job.port)]

    module = ModuleType("made_up.peer")
    module.__dict__["PEER"] = Peer(title="Made up", form="for a test", command=command, **more)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(peers.TABLE, "made-up", module.__name__)
    return "made-up"
