"""What a server is asked and answers is collected where its operator says, and nobody waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.catalog import Wanted
from app.collecting.rule import Rule
from app.observers import Seen
from app.observers.collection import Collection
from app.pool import Options
from app.runtimes.script.environment import environment
from tests.collecting.made import Place
from tests.server import CUSTOMERS, ROOT, Server, run
from tests.server import serving as server_of
from tests.serving import ask, query, serving, until, write_model

SALT = "not so secret"
SCRIPT = """
def init():
    pass

def run(data):
    return {"told": data}
"""
Settings = dict[str, str]
Configure = Callable[..., Settings]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Settings of a server whose model `name` is collected."""

    def write(name: str = "churn", *, samples: bool = True, **collect: Any) -> Settings:
        rule = {"to": f"file://{tmp_path}/collected", **collect}
        config = tmp_path / "serve.yaml"
        config.write_text(json.dumps({"models": [{"name": name, "collect": rule}]}))
        own = {} if samples else {"SERVE_REGISTRY": str(tmp_path / "registry")}
        return {"SERVE_CONFIG": str(config), **own}

    return write


def files(tmp_path: Path) -> dict[str, bytes]:
    found = (tmp_path / "collected").rglob("*.jsonl")
    return {str(path.relative_to(tmp_path / "collected")): path.read_bytes() for path in found}


def collected(tmp_path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(each) for file in files(tmp_path).values() for each in file.splitlines()]


def counted(server: Server, outcome: str) -> float:
    """Of the model `churn`, whichever version."""
    lines = server.get("/metrics").text.splitlines()
    start, label = 'model_collected_total{model="churn"', f'outcome="{outcome}"'
    return sum(float(x.split()[-1]) for x in lines if x.startswith(start) and label in x)


def ask_one(server: Server, request_id: str) -> Any:
    answer = server.post(
        "/score/churn", json={"data": CUSTOMERS[0]}, headers={"x-request-id": request_id}
    )
    assert answer.status_code == 200
    return answer.json()["results"]


def test_requests_and_answers_are_written_by_model_version_and_hour(
    tmp_path: Path, configure: Configure
) -> None:
    rule = Rule("", salt=SALT.encode())
    columns = {"drop": ["tenure_months"], "hash": ["contract"]}
    with server_of(**configure(columns=columns, salt=SALT)) as server:
        answer = ask_one(server, "ours")
        server.wait_until(lambda: counted(server, "written") == 1)
        assert server.post("/score/churn", json={"data": [{}]}).status_code == 422
        log = server.log()

    (told,) = collected(tmp_path)
    (path,) = files(tmp_path)
    hour = told["time"][:13].replace("-", "/").replace("T", "/")
    assert path.startswith(f"churn/2/{hour}/")
    assert (told["request_id"], told["rows"], told["version"]) == ("ours", 1, "2")
    assert told["outputs"] == {next(iter(told["outputs"])): [answer]}
    given = {name: [value] for name, value in CUSTOMERS[0].items() if name != "tenure_months"}
    given["contract"] = rule.hashed(given["contract"])
    assert told["inputs"] == given
    assert SALT not in log


def test_a_salt_may_be_in_a_variable_which_no_script_sees(
    tmp_path: Path, configure: Configure
) -> None:
    settings = configure(columns={"hash": ["contract"]}, salt_variable="COLLECT_SALT")
    with server_of(**settings, COLLECT_SALT=SALT) as server:
        ask_one(server, "ours")
        server.wait_until(lambda: counted(server, "written") == 1)

    (told,) = collected(tmp_path)
    assert told["inputs"]["contract"] == Rule("", salt=SALT.encode()).hashed(
        [CUSTOMERS[0]["contract"]]
    )
    assert environment({"COLLECT_SALT": SALT, "SALTY": "no secret"}, tmp_path).keys() & {
        "COLLECT_SALT", "SALTY"
    } == {"SALTY"}  # fmt: skip


@pytest.mark.parametrize("salt", [{}, {"COLLECT_SALT": "short"}])
def test_a_variable_without_a_salt_stops_the_start(
    tmp_path: Path, configure: Configure, salt: dict[str, str]
) -> None:
    settings = configure(columns={"hash": ["contract"]}, salt_variable="COLLECT_SALT")
    done = run(tmp_path, "serve", settings={**settings, **salt})

    assert done.returncode == 2
    told = (
        b"collect.salt_variable names COLLECT_SALT, which is not set here to a text of at least 8"
    )
    assert told in done.stderr


def test_the_request_id_decides_and_all_workers_agree(tmp_path: Path, configure: Configure) -> None:
    ids = [f"request-{i}" for i in range(60)]
    with server_of(**configure(sample=0.3), SERVE_WORKERS="2") as server:
        for request_id in ids:
            server.session.headers["connection"] = "close"  # so that both workers are asked
            ask_one(server, request_id)
        assert server.stop() == 0

    sampled = [each for each in ids if Rule("", 0.3).takes(each.encode())]
    assert sorted(each["request_id"] for each in collected(tmp_path)) == sorted(sampled)
    assert 5 < len(sampled) < 40
    assert len(files(tmp_path)) >= 2  # no two processes write one file


def test_what_is_there_is_written_at_the_end(tmp_path: Path, configure: Configure) -> None:
    with server_of(**configure()) as server:
        ask_one(server, "a")
        ask_one(server, "b")
        before = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - before < 10

    assert [each["request_id"] for each in collected(tmp_path)] == ["a", "b"]


def test_a_dead_target_harms_nobody(tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "collected").write_bytes(b"no folder")
    with server_of(**configure()) as server:
        for i in range(3):
            ask_one(server, str(i))
        server.wait_until(lambda: counted(server, "failed") == 3)
        ask_one(server, "4")
        server.wait_until(lambda: counted(server, "failed") == 4)
        assert server.stop() == 0

    told = [each for each in server.log().splitlines() if "nothing is collected" in each]
    assert len(told) == 1
    assert "Not a directory" in told[0] or "File exists" in told[0]


def test_columns_that_are_not_there_are_told_at_the_load(configure: Configure) -> None:
    with server_of(**configure(columns={"drop": ["tenur"]})) as server:
        log = server.log()

    text = "churn:2: collect.columns names what the model neither takes nor gives: tenur"
    assert text in log


def test_collecting_begins_and_ends_without_a_restart(tmp_path: Path, configure: Configure) -> None:
    settings = configure(sample=0)
    with server_of(**settings) as server:
        ask_one(server, "before")
        configure()
        server.wait_until(lambda: ask_one(server, "while") is not None and bool(files(tmp_path)))
        Path(settings["SERVE_CONFIG"]).write_text("models: [churn]")
        server.wait_until(lambda: server.log().count("the configuration file has changed") == 2)
        time.sleep(0.5)
        ask_one(server, "after")
        server.stop()

    assert {each["request_id"] for each in collected(tmp_path)} == {"while"}


@pytest.mark.parametrize("columns", [{}, {"drop": ["data"]}])
def test_a_script_is_collected_as_text(
    tmp_path: Path, configure: Configure, columns: dict[str, Any]
) -> None:
    folder = tmp_path / "registry/echo/1"
    folder.mkdir(parents=True)
    (folder / "score.py").write_text(SCRIPT)
    with server_of(**configure("echo", samples=False, columns=columns)) as server:
        assert server.post("/score/echo", data="[1, 2]").json() == {"told": "[1, 2]"}
        server.stop()

    told = [(each["inputs"], each["outputs"]) for each in collected(tmp_path)]
    assert told == ([] if columns else [("[1, 2]", '{"told": "[1, 2]"}')])
    assert ("nothing of it is collected" in server.log()) == bool(columns)


async def test_what_goes_wrong_in_collecting_fails_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def tell(self, seen: Seen) -> None:
            raise RuntimeError

    place = Place()
    collection = Collection(lambda _: place)
    with serving(tmp_path, monkeypatch) as parts:
        write_model(parts.folder, "double")
        parts.observers += [Broken(), collection]
        catalog = parts.catalog(Wanted("double", options=Options(collect=Rule("file:///there"))))
        engine = parts.engine(catalog)
        assert await ask(engine, query({"data": [[1.0], [2.0]]})) == [[2.0], [4.0]]
        await until(lambda: place.lines())
        await catalog.close()
    collection.close()

    assert "an answer is not observed" in caplog.text
    (told,) = place.lines()
    assert (told["inputs"], told["outputs"]) == ({"x": [[1.0], [2.0]]}, {"y": [[2.0], [4.0]]})


async def test_nothing_is_told_while_nothing_is_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Seen] = []

    class Told:
        def tell(self, seen: Seen) -> None:
            told.append(seen)

    with serving(tmp_path, monkeypatch) as parts:
        write_model(parts.folder, "double")
        parts.observers.append(Told())
        for rule, count in ((None, 0), (Rule("file:///there"), 1)):
            catalog = parts.catalog(Wanted("double", options=Options(collect=rule)))
            await ask(parts.engine(catalog), query({"data": [[1.0]]}))
            assert len(told) == count
            await catalog.close()


def test_a_script_may_be_told_of_a_collector_of_its_own(tmp_path: Path) -> None:
    given = {"AZUREML_MDC_ENABLED": "true", "AZUREML_MDC_HOST": "there", "AZUREML_MDC_PORT": "1"}

    assert given.items() <= environment(given, tmp_path).items()


def test_the_table_in_the_docs_is_made_of_lines(tmp_path: Path) -> None:
    docs = (ROOT / "docs/operations.md").read_text().split("## Data collection")[1]
    told, recipe = (docs.split(f"```{kind}\n")[1].split("```")[0] for kind in ("json", "python"))
    (tmp_path / "ID.jsonl").write_text(told.replace("\n", "") + "\n")

    found: dict[str, Any] = {}
    exec(recipe.replace("ID.jsonl", str(tmp_path / "ID.jsonl")), found)

    assert list(found["rows"]) == ["age", "customer_id", "label", "time"]
    assert found["rows"]["age"].tolist() == [36, 71]
    assert {"time", "request_id", "model", "version", "rows", "inputs", "outputs"} == set(
        json.loads(told)
    )
