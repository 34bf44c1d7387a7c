"""`aml-serve manifest create`: a folder that `aml-serve check` takes, or a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from app import manifest
from tests import models
from tests.mlflow_models import save_with_mlflow
from tests.server import CLAIM, CUSTOMERS, SAMPLES, run, serving

CHURN = SAMPLES / "churn/1"
CLAIM_FILE = SAMPLES / CLAIM / "1/model.onnx"
SCRIPT = """
import joblib, os

def init():
    global model
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.joblib"))

def run(data):
    return type(model).__name__
"""

Create = Callable[..., CompletedProcess[bytes]]


@pytest.fixture
def create(tmp_path: Path) -> Create:
    """The command, into `tmp_path`/out."""

    def create(*arguments: object, **settings: str) -> CompletedProcess[bytes]:
        given = ["--out", tmp_path / "out", *arguments]
        environ = {"SERVE_REGISTRY": "", **settings}
        done = run(tmp_path, "manifest", "create", *map(str, given), settings=environ)
        assert b"Traceback" not in done.stdout + done.stderr
        return done

    return create


def stated(tmp_path: Path) -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load((tmp_path / "out/manifest.yaml").read_text("utf-8"))
    return told


def test_model_schema_and_conda_file_become_a_folder_that_is_served(
    create: Create, tmp_path: Path
) -> None:
    (tmp_path / "env.yml").write_text("dependencies: [python=3, {pip: [scikit-learn==0.1]}]")
    parts = ["--schema", CHURN / "schema.json", "--conda", tmp_path / "env.yml", "-t", "team=a"]
    done = create("--model", CHURN / "model.joblib", *parts, "--name", "churn", "-d", "Größe")

    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'out'}\n".encode())
    assert b"versions: scikit-learn: trained with 0.1, here " in done.stderr
    assert f"models register {tmp_path / 'out'} --name churn" in done.stderr.decode()
    assert stated(tmp_path) == {
        "conda": "env.yml", "file": "model.joblib", "runtime": "sklearn", "description": "Größe",
        "tags": {"team": "a"}, "classes": ["churns", "stays"],
    }  # fmt: skip
    checked = run(tmp_path, "check", str(tmp_path / "out"), settings={"SERVE_REGISTRY": ""})
    assert checked.returncode == 0, checked.stdout
    with serving(SERVE_REGISTRY=str(tmp_path), SERVE_MODELS="out") as server:
        assert server.score("out", CUSTOMERS[0]) == "stays"


def test_a_service_schema_of_2018_gets_its_name_and_holds(create: Create, tmp_path: Path) -> None:
    models.save_sklearn(tmp_path / "m", models.frame_classifier())
    models.PEOPLE.to_csv(tmp_path / "t.csv", index=False)
    table = ["--from", str(tmp_path / "t.csv"), "--target", "is_member"]
    written = run(
        tmp_path, "schema", *table, "--out", str(tmp_path / "s.json"), "--form", "service"
    )
    assert written.returncode == 0, written.stderr
    done = create("--model", tmp_path / "m/model.joblib", "--schema", tmp_path / "s.json")

    assert done.returncode == 0, done.stderr
    with serving(SERVE_REGISTRY=str(tmp_path), SERVE_MODELS="out") as server:
        rows = models.PEOPLE.drop(columns="is_member").to_dict("records")
        answer = server.post("/score/out", json={"input_df": rows})
        assert (answer.status_code, answer.json()) == (200, {"results": [0, 1, 0, 1]})
        wrong = server.post("/score/out", json={"input_data_frame": rows})
        assert (wrong.status_code, wrong.json()["code"]) == (400, "bad-request")
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"input_df": rows}))
    scored = run(tmp_path, "score", "out", str(request), settings={"SERVE_REGISTRY": str(tmp_path)})
    assert scored.stdout == b'{"results":[0,1,0,1]}\n', scored.stderr


def test_a_script_is_put_beside_its_model(create: Create, tmp_path: Path) -> None:
    models.save_sklearn(tmp_path / "m", models.classifier())
    (tmp_path / "main.py").write_text(SCRIPT)
    done = create("--model", tmp_path / "m/model.joblib", "--script", tmp_path / "main.py")

    assert done.returncode == 0, done.stderr
    assert stated(tmp_path) == {"runtime": "script", "entry": "main.py"}
    with serving(SERVE_REGISTRY=str(tmp_path), SERVE_MODELS="out") as server:
        assert server.post("/score/out", json={"data": 1}).json() == "LogisticRegression"


def test_a_folder_in_mlflows_format_stays_one(create: Create, tmp_path: Path) -> None:
    folder = save_with_mlflow(tmp_path, "pyfunc_sum") / "pyfunc_sum"
    done = create("--model", folder)

    assert done.returncode == 0, done.stderr
    assert stated(tmp_path) == {"runtime": "pyfunc"}
    assert manifest.read(tmp_path / "out").mlmodel is not None


def test_what_a_manifest_says_already_is_kept(create: Create, tmp_path: Path) -> None:
    models.identity(tmp_path / "m")
    (tmp_path / "m/manifest.yaml").write_text("timeout_s: 3\ntags: {a: b}\nclasses: [x, y, z]")
    assert create("--model", tmp_path / "m", "-t", "c=d").returncode == 0

    assert stated(tmp_path) == {
        "timeout_s": 3, "tags": {"a": "b", "c": "d"}, "classes": ["x", "y", "z"], "runtime": "onnx"
    }  # fmt: skip


def test_under_pinned_its_code_is_not_run(create: Create, tmp_path: Path) -> None:
    done = create("--model", CHURN / "model.joblib", SERVE_TRUST="pinned")

    assert done.returncode == 0
    assert b"its code was not run: " in done.stderr
    assert stated(tmp_path) == {"file": "model.joblib", "runtime": "sklearn"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--model", "/nowhere"], 2, "--model: there is no /nowhere"),
        (["--model", CHURN, "--schema", "/nowhere"], 2, "--schema: there is no file /nowhere"),
        (["--model", CHURN, "--script", CHURN], 2, "--script: there is no file"),
        (["--model", CHURN, "--name", "a b"], 2, "--name is 'a b'; allowed"),
        (["--model", CHURN, "--schema", CHURN / "manifest.yaml"], 2, "is not JSON"),
        (["--model", CLAIM_FILE, "--schema", CHURN / "schema.json"], 1, "would not be served: "),
        (["--model", CHURN / "schema.json"], 1, "no runtime reads schema.json"),
        (["--model", CHURN, "--conda", CHURN / "schema.json"], 2, "both to be called schema.json"),
        (["--model", CHURN, "--tag", "x"], 2, "--tag is 'x'; allowed: KEY=VALUE"),
        ([], 2, "--model"),
    ],
)
def test_what_would_not_be_served_is_refused_and_leaves_nothing(
    create: Create, tmp_path: Path, arguments: list[object], code: int, told: str
) -> None:
    if "both" in told:
        (tmp_path / "schema.json").write_text("dependencies: []")
        arguments = [*arguments[:3], tmp_path / "schema.json"]
    done = create(*arguments)

    assert (done.returncode, done.stdout) == (code, b"")
    assert told in " ".join(done.stderr.decode().split())
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_not_touched(create: Create, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    done = create("--model", CHURN)

    assert done.returncode == 2
    assert b"is there already, and not an empty folder" in done.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]
