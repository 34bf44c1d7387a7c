"""How tests ask a script: as a thread does, and as the event loop does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.runtimes.script.model import ScriptModel
from app.tensors import RawBatch, RawRequest, Reply

Load = Callable[..., ScriptModel]
JSON = (b"content-type", b"application/json")


def batch(body: bytes = b"", method: str = "POST") -> RawBatch:
    return RawBatch.of_request(RawRequest(method, "/score", b"", [JSON], body))


def asked(model: ScriptModel, body: bytes = b"", method: str = "POST") -> Reply:
    reply: Any = model.predict(batch(body, method), ("reply",))["reply"]
    assert isinstance(reply, Reply)
    return reply


def value(model: ScriptModel, body: bytes = b"") -> Any:
    """What run() gave."""
    return _read(asked(model, body))


async def answered(
    model: ScriptModel, body: bytes = b"", began: Callable[[float], None] = lambda _: None
) -> Reply:
    reply: Any = (await model.answer(batch(body), ("reply",), began))["reply"]
    assert isinstance(reply, Reply)
    return reply


async def told(model: ScriptModel, body: bytes = b"") -> Any:
    """What run() gave."""
    return _read(await answered(model, body))


def is_there(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


def _read(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return json.loads(reply.body)
