"""What the pages say of the chart can be done: their commands run, against a cluster's stand-in."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
import yaml

from charts.readme import README, page, values
from tests.chart.cluster import running
from tests.chart.rendering import CHART, environment, helm_program
from tests.server import ROOT

OPERATIONS = ROOT / "docs/operations.md"
PAGES = {"readme": README.read_text(), "operations": OPERATIONS.read_text()}
BLOCKS = {name: re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for name, text in PAGES.items()}
GIVEN = {"CLIENT": "c", "SUBSCRIPTION": "s", "KEYS": "k"}
"""What commands before, which need Azure, have set."""


def is_marked(block: str) -> bool:
    return block.startswith(("# needs Azure\n", "# needs a cluster\n"))


def runnable(block: str) -> str:
    """Without waiting for pods, of which the stand-in has none."""
    return re.sub(r" --atomic| --timeout \w+", "", block)


@pytest.fixture(scope="module", params=PAGES)
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, set[str]]:
    """All commands of one page, run as they stand; the page, and what is in the cluster then."""
    home = tmp_path_factory.mktemp("home")
    (home / "bin").mkdir()
    (home / "bin/helm").symlink_to(helm_program())
    (home / "charts").symlink_to(CHART.parent)
    env = {**environment(home), **GIVEN, "PATH": f"{home}/bin{os.pathsep}{os.environ['PATH']}"}
    with running(home) as cluster:
        for block in BLOCKS[request.param]:
            if not is_marked(block):
                script = ["bash", "-euo", "pipefail", "-c", runnable(block)]
                done = subprocess.run(script, cwd=home, env=env, capture_output=True, text=True)
                assert done.returncode == 0, f"{block}\n{done.stderr}"
        return request.param, set(cluster.objects)


def test_the_commands_of_a_page_run(played: tuple[str, set[str]]) -> None:
    name, objects = played

    assert any(path.endswith("/deployments/models-aml-serve") for path in objects)
    assert len(BLOCKS[name]) >= 3


def test_commands_name_what_is_installed(played: tuple[str, set[str]]) -> None:
    name, objects = played
    there = {path.rpartition("/")[2] for path in objects}
    named = set(re.findall(r"\bmodels-aml-serve[a-z-]*", "".join(BLOCKS[name])))

    assert named
    assert named <= there


@pytest.mark.parametrize("block", [b for blocks in BLOCKS.values() for b in blocks])
def test_a_block_is_right_for_a_shell_and_marked_if_it_cannot_run_here(block: str) -> None:
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    tools = {line.split()[0] for line in block.splitlines() if line[:1].isalpha()}

    assert done.returncode == 0, done.stderr
    assert not tools & {"az", "kubectl", "docker", "curl"} or is_marked(block)


@pytest.mark.parametrize("name", PAGES)
def test_every_value_that_a_page_names_exists(name: str) -> None:
    document = yaml.safe_load((CHART / "values.yaml").read_text())
    named = set(re.findall(r"`([a-z]\w*(?:\.[A-Za-z_]\w*)+)(?:[:=][^`]*)?`", PAGES[name]))
    ours = {each for each in named if each.partition(".")[0] in document}

    assert len(ours) > 5
    assert {each for each in ours if not _exists(document, each.split("."))} == set()


def _exists(document: object, path: list[str]) -> bool:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return False
        document = document[key]
    return True


def test_the_readme_has_the_values_as_they_are() -> None:
    text = (CHART / "values.yaml").read_text()

    assert page(README.read_text(), text) == README.read_text(), "run: python -m charts.readme"


def test_every_value_has_a_comment() -> None:
    found = values((CHART / "values.yaml").read_text())

    assert len(found) > 100
    assert [each.name for each in found if not each.comment] == []


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README.read_text())

    assert [link for link in links if not (CHART / link).exists()] == []


def test_the_figures_of_the_simulation_are_those_of_its_script() -> None:
    from bench.sharding import FLEETS, moved, table

    text = README.read_text()

    assert table(FLEETS) in text
    assert [f"{moved(fleet):.0%}".replace("%", " %") in text for fleet in FLEETS] == [True, True]


def test_the_federated_credential_is_for_the_account_of_the_pods() -> None:
    subject = re.search(r"system:serviceaccount:(\w+):([a-z-]+)", PAGES["operations"])
    assert subject is not None

    assert subject[1] == "ml"
    assert subject[2] == "models-aml-serve"
