"""`aml-serve check`: a path or a name, and a verdict on whether it would be served."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from app import manifest
from app.commands.checking.report import STEPS, Finding, Report
from app.crashes import MOST_CRASHES
from tests import models, odd_models
from tests.server import CLAIM, CUSTOMERS, SAMPLES, run
from tests.test_golden import picky_model

CHURN = SAMPLES / "churn/1"
NOWHERE = {"SERVE_REGISTRY": ""}

Check = Callable[..., dict[str, Any]]


def check_as_text(
    home: Path, target: object, **settings: str
) -> subprocess.CompletedProcess[bytes]:
    done = run(home, "check", str(target), settings=settings)
    assert b"Traceback" not in done.stdout + done.stderr
    return done


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """What `aml-serve check -o json` tells."""

    def check(target: object, **settings: str) -> dict[str, Any]:
        done = run(tmp_path, "check", str(target), "-o", "json", settings={**NOWHERE, **settings})
        assert b"Traceback" not in done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if told["served"] else 1)
        return told

    return check


def states(told: Mapping[str, Any]) -> dict[str, str]:
    return {step["step"]: step["state"] for step in told["steps"]}


def facts(told: Mapping[str, Any], step: str) -> dict[str, Any]:
    (found,) = [each["facts"] for each in told["steps"] if each["step"] == step]
    assert isinstance(found, dict)
    return found


def texts(told: Mapping[str, Any], step: str) -> str:
    found = [each["found"] for each in told["steps"] if each["step"] == step]
    return "\n".join(f"{line['state']}: {line['text']}" for line in found[0])


def with_golden(folder: Path, data: object, results: object) -> Path:
    golden = [{"request": {"data": data}, "results": results}]
    return models.save(folder, "golden.json", json.dumps(golden).encode())


def configured(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / "serve.yaml").write_text(text)
    return {"SERVE_REGISTRY": str(SAMPLES), "SERVE_CONFIG": str(tmp_path / "serve.yaml")}


def test_a_bare_file_is_a_whole_model_and_needs_no_registry(check: Check) -> None:
    told = check(SAMPLES / CLAIM / "1/model.onnx")

    assert (told["served"], told["verdict"]) == (True, "would be served")
    assert set(states(told)) == set(STEPS) - {"acceleration"}
    assert set(states(told).values()) == {"ok"}
    assert facts(told, "files")["count"] == 1
    assert facts(told, "format") == {"file": "model.onnx", "runtime": "onnx"}
    assert facts(told, "trust")["code"] is False
    assert texts(told, "golden").startswith("ok: made-up rows: 2 ok (no golden.json")
    assert 'by a schema.json, as in {"type": "string"}' in texts(told, "schema")


def test_people_get_a_line_for_each_finding_and_a_verdict(tmp_path: Path) -> None:
    done = check_as_text(tmp_path, CHURN, **NOWHERE)
    text = done.stdout.decode()
    lines = [line.split() for line in text.splitlines() if line]

    assert done.returncode == 0
    assert text.endswith(f"\n\n{CHURN} would be served\n")
    assert [line[0] for line in lines if line[0] in STEPS] == [
        step for step in STEPS if step != "acceleration"
    ]
    assert "age: int64, declared" in text
    assert "... and 10 more" in text
    assert "golden: 4 requests ok" in text
    assert f"needs: sha256: {manifest.digest(CHURN)}" in text


def test_speed_is_measured_for_one_row_and_for_batches(check: Check, tmp_path: Path) -> None:
    models.save(tmp_path / "m", "model.onnx", (SAMPLES / CLAIM / "1/model.onnx").read_bytes())
    models.save(tmp_path / "m", "manifest.yaml", b"batching: {max_rows: 50}")
    told = facts(check(tmp_path / "m"), "latency")

    assert 0 < told["p50_us"] <= told["p99_us"]
    assert told["calls"] >= 3
    assert 1e5 / told["p50_us"] < told["requests_per_s"] < 4e6 / told["p50_us"]
    assert {k for k in told if k.startswith("rows_")} == {
        "rows_32_us_per_row",
        "rows_50_us_per_row",
    }


@pytest.mark.long
def test_a_slow_model_is_asked_three_times_and_what_it_prints_is_not_shown(
    check: Check, tmp_path: Path
) -> None:
    told = check(odd_models.save(tmp_path / "registry", "slow", odd_models.Slow()))

    assert told["served"]
    assert facts(told, "latency")["calls"] == 3
    assert "32 rows: not measured, it would take 6." in texts(told, "latency")


def test_a_pickle_that_is_broken_is_refused_when_it_is_loaded(check: Check, tmp_path: Path) -> None:
    content = (CHURN / "model.joblib").read_bytes()[:500]
    told = check(models.save(tmp_path / "m", "model.pkl", content))

    assert not told["served"]
    assert "model.pkl cannot be unpickled" in told["reason"]
    assert told["mend"].startswith("install what it was saved with")
    assert told["verdict"] == f"would not be served: {told['reason']}. Mend: {told['mend']}."
    found = states(told)
    assert [found[s] for s in ("files", "digest", "trust", "format", "load", "schema")] == (
        ["ok"] * 4 + ["refused", "not reached"]
    )


def test_a_wrong_answer_is_told_with_row_column_got_and_wanted(
    check: Check, tmp_path: Path
) -> None:
    models.identity(tmp_path / "m")
    told = check(with_golden(tmp_path / "m", [[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 0, 6]]))

    reason = "golden.json: request 0, row 1, column 1: got 5.0, wanted 0"
    assert (states(told)["golden"], told["reason"]) == ("refused", reason)
    assert "ok: x: float32 x 3, declared" in texts(told, "schema")
    assert states(told)["latency"] == "not reached"


def test_digests_that_are_not_those_of_the_configuration_are_refused_with_the_right_one(
    check: Check, tmp_path: Path
) -> None:
    told = check(CLAIM, **configured(tmp_path, f"models: [{{name: {CLAIM}, sha256: {'a' * 64}}}]"))

    digest = manifest.digest(SAMPLES / CLAIM / "1")
    assert states(told)["digest"] == "refused"
    assert told["reason"] == "its digest is none of those in the configuration"
    assert f"add sha256: {digest}" in told["mend"]


def test_under_pinned_a_pickle_runs_with_the_line_that_its_refusal_tells(
    check: Check, tmp_path: Path
) -> None:
    refused = check("churn:1", SERVE_REGISTRY=str(SAMPLES), SERVE_TRUST="pinned")
    assert (states(refused)["trust"], states(refused)["load"]) == ("refused", "not reached")
    assert "its trust is pinned and its digest is not listed" in refused["reason"]
    line = facts(refused, "digest")["line"]
    assert line in refused["mend"]

    text = f"models: [{{name: churn, version: 1, {line}}}]"
    told = check("churn:1", SERVE_TRUST="pinned", **configured(tmp_path, text))
    assert told["served"], told


@pytest.mark.long
def test_the_operators_wishes_hold_for_a_name(check: Check, tmp_path: Path) -> None:
    text = f"models: [{{name: {CLAIM}, memory_bytes: 3Gi, accelerate: verify}}]"
    told = check(CLAIM, **configured(tmp_path, text))

    assert facts(told, "memory")["source"] == "declared"
    assert facts(told, "memory")["bytes"] == 3 * 1024**3
    assert "it is served by onnx, not by scikit-learn" in texts(told, "acceleration")
    assert told["verdict"] == "would be served, with 1 warning"


@pytest.mark.long
def test_what_does_not_fit_into_memory_is_refused_before_it_is_loaded(check: Check) -> None:
    told = check(CHURN, SERVE_MEMORY_BYTES="1k")

    assert states(told)["memory"] == "refused"
    assert "all models may take 1000 (SERVE_MEMORY_BYTES)" in told["reason"]
    assert {states(told)[step] for step in ("load", "schema", "latency")} == {"not reached"}


@pytest.mark.long
def test_a_class_that_is_not_there_is_named(check: Check, tmp_path: Path) -> None:
    odd_models.save_unknown(tmp_path / "registry", "m")
    told = check(tmp_path / "registry/m/1/model.joblib")

    assert states(told)["load"] == "refused"
    assert "needs the module 'gone_module', which is not installed here" in told["reason"]


def test_other_versions_than_those_of_training_are_warned_about(
    check: Check, tmp_path: Path
) -> None:
    folder = models.save_sklearn(tmp_path / "m", models.regressor())
    models.save(folder, "requirements.txt", b"numpy==1.0\njoblib==0.1\nnot-there==3\n")
    told = check(folder)

    assert told["verdict"] == "would be served, with 2 warnings"
    found = texts(told, "versions")
    assert "warning: numpy: trained with 1.0, here " in found
    assert "ok: not installed here, unless it is needed: not-there 3" in found


@pytest.mark.long
def test_what_can_only_be_guessed_is_warned_about_with_a_schema_that_would_help(
    check: Check, tmp_path: Path
) -> None:
    told = check(picky_model(tmp_path / "m", None))

    assert told["verdict"] == "would be served, with 4 warnings"
    assert "warning: city: any, may be null, guessed" in texts(told, "schema")
    assert texts(told, "schema").endswith('can be told by a schema.json, as in {"type": "..."}')
    assert texts(told, "golden").startswith("warning: not checked: made-up rows do not run (KeyErr")
    assert texts(told, "joining") == "warning: off: no payload is known to compare by"
    assert texts(told, "latency").startswith("warning: not measured: no request is known")


@pytest.mark.long
def test_what_a_model_raises_is_told_with_its_words(check: Check, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    told = check(picky_model(tmp_path / "m", schema))

    assert states(told)["golden"] == "refused"
    assert "the first prediction failed: KeyError: 'an unknown city'" in texts(told, "golden")


@pytest.mark.long
def test_a_schema_that_contradicts_the_model_is_refused(check: Check, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"town": {"type": "string"}}}
    told = check(models.save_sklearn(tmp_path / "m", models.frame_classifier(), schema))

    assert (states(told)["load"], states(told)["schema"]) == ("ok", "refused")
    assert 'schema.json has no property "age", which the model takes' in told["reason"]


@pytest.mark.parametrize("model", [odd_models.Deadly(), odd_models.DeadlyToAsk()])
def test_a_model_that_ends_the_process_is_a_verdict_and_no_crash_of_the_server(
    check: Check, tmp_path: Path, model: object
) -> None:
    odd_models.save(tmp_path / "registry", "deadly", model)
    told = check("deadly", SERVE_REGISTRY=str(tmp_path / "registry"))

    assert told["reason"].startswith("the process that loaded it was ended by SIGSEGV")
    assert (states(told)["format"], states(told)["load"]) == ("ok", "refused")
    assert states(told)["latency"] == "not reached"
    assert not list((tmp_path / "cache").glob("loading/*"))
    assert not list((tmp_path / "cache").glob("crashes/*"))


@pytest.mark.long
def test_what_a_server_has_set_aside_is_told(check: Check, tmp_path: Path) -> None:
    counts = tmp_path / "cache/crashes"
    counts.mkdir(parents=True)
    (counts / manifest.digest(CHURN)).write_text(str(MOST_CRASHES))
    told = check("churn:1", SERVE_REGISTRY=str(SAMPLES))

    assert states(told)["load"] == "refused"
    assert "it ended the process 3 times while it was loaded, and is set aside" in told["reason"]
    assert check(CHURN)["served"]


def test_of_a_path_nothing_is_left_behind(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    folder = odd_models.save(tmp_path / "registry", "deadly", odd_models.Deadly())
    before = sorted(folder.rglob("*"))
    check(folder)
    check(CHURN)

    assert sorted(folder.rglob("*")) == before
    assert not (tmp_path / "cache").exists()
    assert [p.name for p in (tmp_path / "tmp").iterdir() if p.name.startswith("aml-serve")] == []


@pytest.mark.long
def test_a_name_is_looked_up_in_the_registry_and_its_size_is_not_remembered(
    check: Check, tmp_path: Path
) -> None:
    told = check("churn", SERVE_REGISTRY=str(SAMPLES))

    assert told["served"]
    assert len(facts(told, "schema")["inputs"]) == len(CUSTOMERS[0])
    assert not (tmp_path / "cache/sizes").exists()


@pytest.mark.parametrize(
    ("target", "registry", "told"),
    [
        (
            "chrn",
            str(SAMPLES),
            ", and no model 'chrn' in the registry; did you mean churn",
        ),
        ("churn:9", str(SAMPLES), "and model churn has no version '9'; did you mean churn:"),
        ("chrn", "", ", and as the name of a model it cannot be looked up: SERVE_REGISTRY"),
        ("a b", str(SAMPLES), "there is no file or folder 'a b', and a name is letters, digits"),
        ("./READM.md", "", "there is no file or folder './READM.md'; did you mean README.md?"),
        (f"{SAMPLES}/chrn/1", "", "there is no file or folder"),
        (SAMPLES / "churn", "", f"holds versions of a model (1, 2); name one, as in {SAMPLES}"),
        ("churn", "/not/there", "SERVE_REGISTRY is a path that cannot be read (No such file"),
        (CHURN, "ftp://x", "SERVE_TRUST is text; allowed: all, pinned or none"),
    ],
)
def test_what_is_not_there_ends_it_with_what_was_tried(
    tmp_path: Path, target: object, registry: str, told: str
) -> None:
    trust = {"SERVE_TRUST": "some"} if registry.startswith("ftp") else {}
    done = check_as_text(tmp_path, target, SERVE_REGISTRY=registry, **trust)

    assert (done.returncode, done.stdout) == (2, b"")
    assert told in done.stderr.decode()


@pytest.mark.long
def test_a_version_without_files_is_refused_with_its_reason(check: Check, tmp_path: Path) -> None:
    (tmp_path / "registry/m/1").mkdir(parents=True)
    told = check("m", SERVE_REGISTRY=str(tmp_path / "registry"))

    assert not told["served"]
    assert states(told)["format"] == "refused"
    assert "the model folder is empty" in told["reason"]


def test_warnings_are_counted_in_words() -> None:
    report = Report("m", [Finding("files", "ok", "1 file")])
    assert report.verdict() == "would be served"
    for number in (1, 2):
        report.findings.append(Finding("versions", "warning", "other"))
        assert report.verdict().endswith(f"with {number} warning{'s' * (number - 1)}")
    report.findings.append(Finding("trust", "refused", "it may not; let it. "))
    assert report.verdict().startswith("would not be served: it may not")
