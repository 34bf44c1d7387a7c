"""What is recorded of azureml-inference-server-http is what it does."""

from __future__ import annotations

import pytest

from tests.differential import cases, golden, original, ours
from tests.differential.replies import ACCEPTED, differences
from tests.differential.services import REFUSED, SERVICES, Service
from tests.differential.wire import exchange, post_json

# gunicorn's code for a worker that cannot start.
_REFUSED = 3


@pytest.fixture(autouse=True)
def _original(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("long"):
        try:
            original.python()
        except original.NotInstalled as error:
            pytest.skip(str(error))


def _id(service: Service) -> str:
    return f"{service.name} {' '.join(service.variables)}".strip()


def test_every_case_is_recorded_and_nothing_else_is() -> None:
    recorded = {(service, name) for service in SERVICES for name in golden.read(service)}

    assert recorded == {(case.service, case.name) for case in cases.CASES}
    assert len(recorded) == len(cases.CASES) >= 60


def test_a_difference_is_accepted_only_for_a_case_that_there_is() -> None:
    assert set(ACCEPTED) <= {(case.service, case.name) for case in cases.CASES}


@pytest.mark.long
@pytest.mark.parametrize("service", SERVICES)
def test_the_original_still_answers_as_recorded(service: str) -> None:
    recorded, now = golden.read(service), golden.ask(service)

    found = {c.name: differences(recorded[c.name], now[c.name]) for c in cases.of(service)}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.long
@pytest.mark.parametrize("service", REFUSED, ids=_id)
def test_the_original_ends_with_a_script_that_it_cannot_serve(service: Service) -> None:
    with pytest.raises(original.NotStarted) as caught, original.serving(service):
        pass

    assert caught.value.code == _REFUSED


@pytest.mark.long
@pytest.mark.parametrize("service", REFUSED, ids=_id)
def test_our_server_never_scores_with_a_script_that_the_original_refuses(service: Service) -> None:
    with ours.running(service, wait_for="") as server:
        server.wait_until(
            lambda: server.process.poll() is not None or "listening on" in server.log()
        )
        if server.process.poll() is None:
            server.wait_for("/livez")
            assert exchange(server.url, post_json({"data": 1})).status in {404, 500, 503}
        else:
            assert server.process.returncode
