"""A script that answers at once, behind both servers."""

from __future__ import annotations

import shutil

import pytest

from bench import scripts
from tests.differential import original


@pytest.mark.long
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_a_script_answers_twice_the_requests_that_it_answers_behind_the_original() -> None:
    try:
        seen = scripts.measured("plain", [4], rounds=3, seconds=3)
    except original.NotInstalled as error:
        pytest.skip(str(error))

    assert all(not load.refused + load.broken for loads in seen.values() for load in loads)
    assert scripts.times(seen, 4) > 2
