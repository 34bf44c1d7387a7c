"""Models served by their ONNX form: converted by another process, once, and never at their cost."""

from __future__ import annotations

import pickle
import re
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from sklearn.tree import DecisionTreeClassifier

from app import acceleration, golden, manifest
from app.acceleration import Accelerator, Mode
from app.catalog import State, Status
from app.commands.acceleration import accelerate
from app.crashes import Attributed
from app.pool import Options
from app.runtimes.convert import GRAPH, VERSION
from app.runtimes.convert.form import Accelerated
from app.runtimes.convert.shadow import Shadowed
from app.schema import Schema
from app.settings import Settings
from app.store import Store
from app.tensors import ModelRef
from app.web.health import _told
from tests import models
from tests.models import KINDS, ROWS
from tests.server import serving as server
from tests.serving import serving

SAMPLES = Path(__file__).parents[1] / "sample_model"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "cache", 10**9)
    store.open()
    return store


def tree(folder: Path) -> Path:
    return models.save_sklearn(folder, DecisionTreeClassifier(random_state=0).fit(ROWS, KINDS))


def load(store: Store, folder: Path, mode: Mode = "verify", **given: Any) -> Any:
    stated = manifest.read(folder)
    return Accelerator(store, **given).load(stated, manifest.digest(folder), "", 1, mode)


@pytest.mark.parametrize("version", ["1", "2"])
def test_the_churn_samples_are_served_by_onnx_and_gain(store: Store, version: str) -> None:
    model, found = load(store, SAMPLES / "churn" / version)

    assert isinstance(model, Accelerated)
    assert found.told().startswith("yes: ")
    assert found.report.rows["golden"] == 10
    assert found.report.rows["threshold"] > 400
    assert found.report.gain > 20
    assert golden.check(
        model, Schema(model.signature), SAMPLES / "churn" / version / "golden.json"
    ).joinable


def test_a_conversion_is_kept_for_the_digest_and_the_versions(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tree(tmp_path / "m")
    _, first = load(store, folder)
    (kept,) = (tmp_path / "cache" / "converted").iterdir()
    monkeypatch.setattr(sys, "executable", "/nowhere")
    model, again = load(store, folder)

    assert isinstance(model, Accelerated)
    assert again.report == first.report
    assert store.size_bytes() == sum(p.stat().st_size for p in kept.iterdir()) > 0
    assert again.size_bytes == (kept / GRAPH).stat().st_size

    monkeypatch.setattr(acceleration, "VERSION", VERSION + 1)
    model, missed = load(store, folder)
    assert not isinstance(model, Accelerated)
    assert missed.told().startswith("no: ")


def test_a_refusal_is_kept_too_and_scikit_learn_serves(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = models.save_sklearn(tmp_path / "m", models.several_classifier())
    _, first = load(store, folder)
    monkeypatch.setattr(sys, "executable", "/nowhere")
    model, again = load(store, folder)

    assert first.told() == again.told() == "no: several answers for a row are not converted"
    assert models.predict(model, ROWS.tolist(), "label")["label"].shape == (4, 2)
    assert not list((tmp_path / "cache" / "converted").glob("*/model.onnx"))


def trap(folder: Path, spring: str) -> Path:
    """A model that does `spring` when it is read by a conversion, and is fine elsewhere."""
    content = pickle.dumps(DecisionTreeClassifier(random_state=0).fit(ROWS, KINDS))

    class Trap:
        def __reduce__(self) -> Any:
            sprung = f"({spring})" if spring else "None"
            is_there = "'app.runtimes.convert' in __import__('sys').orig_argv"
            fine = f"__import__('pickle').loads({content!r})"
            return eval, (f"({sprung} if {is_there} else None) or {fine}",)

    return models.save(folder, "model.pkl", pickle.dumps(Trap()))


@pytest.mark.parametrize(
    ("spring", "reason"),
    [
        ("__import__('os').kill(__import__('os').getpid(), 11)", "no: .* was ended by SIGSEGV"),
        ("__import__('os')._exit(3)", "no: .* ended with exit code 3"),
        ("__import__('time').sleep(60)", "no: the conversion took more than 4 s"),
        ("exec('while True: pass')", "no: the conversion took more than 4 s|SIGXCPU|SIGKILL"),
        ("bytearray(1 << 60)", "no: .*memory|MemoryError"),
        ("1 / 0", "no: .*cannot be unpickled"),
    ],
)
def test_a_conversion_that_crashes_or_hangs_harms_nobody(
    store: Store, tmp_path: Path, spring: str, reason: str
) -> None:
    started = time.perf_counter()
    time_s = 4 if "took" in reason else 60
    model, found = load(store, trap(tmp_path / "m", spring), time_s=time_s)

    assert re.search(reason, found.told())
    assert time.perf_counter() - started < time_s + 6
    assert models.predict(model, ROWS.tolist(), "label")["label"].tolist() == KINDS.tolist()
    assert not list((tmp_path / "cache" / "partial").iterdir())


def test_a_crash_is_not_tried_again_by_the_same_process(store: Store, tmp_path: Path) -> None:
    folder = trap(tmp_path / "m", "__import__('os')._exit(3)")
    stated, digest = manifest.read(folder), manifest.digest(folder)
    accelerator = Accelerator(store)
    first, _ = accelerator.report(stated, digest, "")
    started = time.perf_counter()
    again, _ = accelerator.report(stated, digest, "")

    assert first is again
    assert time.perf_counter() - started < 0.1


def test_a_conversion_sees_no_secrets(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SERVE_API_KEYS", "secret-1")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "secret-2")
    seen = tmp_path / "seen"
    spring = f"open({str(seen)!r}, 'w').write(str(dict(__import__('os').environ))) and None"
    load(store, trap(tmp_path / "m", spring))

    assert "secret" not in seen.read_text()
    assert "PATH" in seen.read_text()


def test_a_model_whose_code_may_not_run_is_not_read_by_a_conversion(
    store: Store, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    folder = trap(tmp_path / "m", f"open({str(seen)!r}, 'w')")
    accelerator = Accelerator(store)
    report, _ = accelerator.report(manifest.read(folder), "0" * 64, "its trust is none")

    assert "is a pickle, which is code: its trust is none" in report.reason
    assert not seen.exists()


def test_without_the_extra_scikit_learn_serves_and_the_reason_names_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(acceleration, "version", absent)
    model, found = load(store, tree(tmp_path / "m"))

    assert found.told() == "no: skl2onnx is not installed (the extra accelerate)"
    assert not isinstance(model, Accelerated)


def test_other_models_are_served_as_they_are(store: Store, tmp_path: Path) -> None:
    _, found = load(store, models.identity(tmp_path / "m"))

    assert found.told() == "no: it is served by onnx, not by scikit-learn"
    assert load(store, tree(tmp_path / "n"), "off")[1].mode == "off"


def test_a_shadowed_model_is_answered_by_scikit_learn(store: Store, tmp_path: Path) -> None:
    model, found = load(store, tree(tmp_path / "m"), "shadow")
    models.predict(model, ROWS.tolist(), "label")  # a check at load is not counted
    found.begin()
    answer = models.predict(model, ROWS.tolist(), "label")["label"].tolist()
    ends = time.monotonic() + 10
    while not model.compared and time.monotonic() < ends:
        time.sleep(0.01)

    assert isinstance(model, Shadowed)
    assert answer == KINDS.tolist()
    assert found.told().startswith("shadow: 4 rows compared, 0 differ, 0 left out; when verified:")


def test_how_the_onnx_form_agrees_with_scikit_learn_is_counted(tmp_path: Path) -> None:
    tree(tmp_path / "registry/a/1")
    (tmp_path / "config.yaml").write_text("models: [{name: a, accelerate: shadow}]")
    given = {"SERVE_REGISTRY": str(tmp_path / "registry")}
    with server(SERVE_CONFIG=str(tmp_path / "config.yaml"), **given) as served:
        served.score("a", ROWS.tolist())
        line = (
            'model_shadow_agreement_total{model="a",outcome="agrees",shadow="onnx",version="1"} 4.0'
        )
        served.wait_until(lambda: line in served.get("/metrics").text)


async def test_the_pool_serves_the_onnx_form_and_readyz_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, monkeypatch) as parts:
        tree(parts.folder / "a" / "1")
        options = Options(accelerate="verify")
        pool = parts.pool()
        ref = ModelRef("default", "a", "1")
        loaded = await pool.load(ref, parts.registry, options, lambda step: None)

    assert isinstance(loaded.model, Attributed)
    assert isinstance(loaded.model.model, Accelerated)
    assert loaded.size_bytes > loaded.acceleration.size_bytes > 0
    assert loaded.verdict.joinable
    status = Status("a", "1", State.READY, True, loaded=loaded)
    assert _told(status)["accelerated"] == loaded.acceleration.told()
    assert loaded.acceleration.told().startswith("yes: ")


def test_the_command_prints_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path / "models" / "good" / "3")
    models.save_sklearn(tmp_path / "models" / "bad" / "1", models.several_classifier())
    settings = Settings.load(
        {"SERVE_REGISTRY": str(tmp_path / "models"), "SERVE_CACHE_DIR": str(tmp_path / "cache")}
    )

    assert accelerate(settings, "good")
    assert not accelerate(settings, "bad:1")
    told = capsys.readouterr().out
    assert "model               good:3\nONNX is served      yes\n" in told
    assert "largest difference  0 (allowed: 1e-06; classes: none)" in told
    assert " us by ONNX: " in told
    assert "because             several answers for a row are not converted" in told
