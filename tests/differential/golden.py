"""The recorded replies of azureml-inference-server-http, a file for each service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.differential import cases, original
from tests.differential.replies import normalised
from tests.differential.services import SERVICES
from tests.differential.wire import exchange

GOLDEN: Final = Path(__file__).parent / "golden"
Replies = dict[str, dict[str, Any]]


def read(service: str) -> Replies:
    """Name of a case -> the original's reply to it."""
    told: Replies = json.loads((GOLDEN / f"{service}.json").read_text("utf-8"))
    return told


def write(service: str, replies: Mapping[str, Mapping[str, Any]]) -> None:
    text = json.dumps(replies, indent=1, ensure_ascii=False)
    (GOLDEN / f"{service}.json").write_text(text + "\n", "utf-8")


def ask(service: str) -> Replies:
    """What the original answers now. Blocking.

    Raises:
        original.NotInstalled: as `original.python`.
    """
    with original.serving(SERVICES[service]) as url:
        return {c.name: normalised(exchange(url, c.request)) for c in cases.of(service)}
