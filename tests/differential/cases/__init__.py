"""Every request that is compared, in the order in which a service gets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.differential.cases import http, ids, kinds, plain, raw, schema, swagger
from tests.differential.services import SERVICES
from tests.differential.wire import Case

_TOLD: Final = (
    *plain.CASES, *kinds.CASES, *ids.CASES, *http.CASES, *schema.CASES, *raw.CASES, *swagger.CASES
)  # fmt: skip

CASES: Final[Sequence[Case]] = sorted(_TOLD, key=lambda case: list(SERVICES).index(case.service))


def of(service: str) -> list[Case]:
    """The cases of one service."""
    return [case for case in CASES if case.service == service]
