"""The same script behind azureml-inference-server-http and behind ours: the same replies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.differential import cases, golden, ours
from tests.differential.replies import ACCEPTED, differences, normalised
from tests.differential.services import SERVICES
from tests.differential.wire import Case, exchange
from tests.server import Server

_recorded = cache(golden.read)


Serve = Callable[[str], Server]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Our server with the script of a service; each is started once."""
    with ExitStack() as running:

        @cache
        def serve(name: str) -> Server:
            return running.enter_context(ours.running(SERVICES[name]))

        yield serve


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: f"{case.service}: {case.name}")
def test_our_server_answers_as_the_original_did(serve: Serve, case: Case) -> None:
    reply = normalised(exchange(serve(case.service).url, case.request))

    found = differences(_recorded(case.service)[case.name], reply)
    if reason := ACCEPTED.get((case.service, case.name)):
        assert found, f"accepted without need: {reason}"
    else:
        assert found == []
