"""LightGBM, XGBoost and CatBoost: the answers are those of the libraries' own estimators."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import ModelInvalid
from app.schema import Schema
from tests import boosters, models
from tests.boosters import CITIES, FRAME, MIXED, NUMBERS, TARGETS

FILES = ["model.txt", "model.json", "model.ubj", "model.cbm"]
TRAIN: dict[str, Callable[..., Any]] = {
    "model.txt": boosters.lightgbm,
    "model.json": boosters.xgboost,
    "model.ubj": boosters.xgboost,
    "model.cbm": boosters.catboost,
}


def records_of(frame: Any) -> Any:
    """As a client sends them: null for what is missing."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("name", FILES)
def test_answers_are_those_of_the_estimator(tmp_path: Path, name: str, task: str) -> None:
    estimator = TRAIN[name](task)
    model = models.load(boosters.save(tmp_path, name, estimator))
    rows = [[None, *row[1:]] for row in NUMBERS.tolist()]
    given = np.array(rows, float)

    found = models.predict(model, rows)

    if task == "values":
        assert found.keys() == {"variable"}
        np.testing.assert_array_equal(found["variable"], estimator.predict(given))
    else:
        np.testing.assert_array_equal(found["label"], np.ravel(estimator.predict(given)))
        np.testing.assert_array_equal(found["probabilities"], estimator.predict_proba(given))
        assert model.signature.result == "label"
        assert model.signature.classes == tuple(range(2 if task == "binary" else 3))


@pytest.mark.parametrize("name", FILES)
def test_features_of_a_frame_are_asked_for_by_name(tmp_path: Path, name: str) -> None:
    estimator = TRAIN[name]("values", FRAME)
    model = models.load(boosters.save(tmp_path, name, estimator))
    records = records_of(FRAME[["size", "age", "income"]])

    assert [spec.name for spec in model.signature.inputs] == list(FRAME)
    found = models.predict(model, records)["variable"]
    np.testing.assert_array_equal(found, estimator.predict(FRAME))


@pytest.mark.parametrize("name", FILES)
def test_a_schema_names_the_features_that_the_model_does_not(tmp_path: Path, name: str) -> None:
    estimator = TRAIN[name]("binary")
    folder = boosters.save(tmp_path, name, estimator)
    columns = '"properties": {"a": {"type": "number"}, "b": {"type": "number"}, "c": {}}'
    models.save(folder, "schema.json", f'{{"type": "object", {columns}}}'.encode())

    found = models.result(folder, [{"c": r[2], "b": r[1], "a": r[0]} for r in NUMBERS.tolist()])

    np.testing.assert_array_equal(found, estimator.predict(NUMBERS))


@pytest.mark.parametrize("name", ["model.txt", "model.json", "model.ubj"])
def test_categories_of_pandas_are_sent_as_they_are(tmp_path: Path, name: str) -> None:
    more = {} if name == "model.txt" else {"enable_categorical": True}
    estimator = TRAIN[name]("binary", MIXED, **more)
    model = models.load(boosters.save(tmp_path, name, estimator))
    frame = MIXED.copy()
    frame.loc[:3, ["city", "floor"]] = None

    dtypes = {spec.name: spec.dtype for spec in model.signature.inputs}
    assert (dtypes["city"], dtypes["floor"]) == ("string", "float64")
    found = models.predict(model, records_of(frame))["probabilities"]
    np.testing.assert_array_equal(found, estimator.predict_proba(frame))
    unseen = models.predict(model, records_of(frame.assign(city="Oslo")))["probabilities"]
    missing = models.predict(model, records_of(frame.assign(city=None)))["probabilities"]
    np.testing.assert_array_equal(unseen, missing)


def test_categories_and_classes_of_catboost_are_the_users_own(tmp_path: Path) -> None:
    frame = FRAME.assign(city=CITIES, floor=(NUMBERS[:, 2] * 3).astype(int))
    wanted = np.where(TARGETS["binary"], "yes", "no")
    estimator = boosters.catboost("binary", frame, wanted, cat_features=["city", "floor"])
    model = models.load(boosters.save(tmp_path, "model.cbm", estimator))

    found = models.predict(model, records_of(frame))

    assert model.signature.classes == ("no", "yes")
    assert found["label"].tolist() == estimator.predict(frame).tolist()
    np.testing.assert_array_equal(found["probabilities"], estimator.predict_proba(frame))
    as_texts = models.predict(model, records_of(frame.assign(floor=frame["floor"].astype(str))))
    np.testing.assert_array_equal(as_texts["probabilities"], found["probabilities"])
    with pytest.raises(Exception, match='column "city": expected an integer or a string'):
        Schema(model.signature).decode(records_of(frame.assign(city=1.5)))


OBJECTIVES = {
    "lightgbm one against all": ("model.txt", "classes", {"objective": "multiclassova"}),
    "lightgbm poisson": ("model.txt", "values", {"objective": "poisson"}),
    "xgboost classes only": ("model.json", "classes", {"objective": "multi:softmax"}),
    "xgboost poisson": ("model.json", "values", {"objective": "count:poisson"}),
    "xgboost linear": ("model.json", "values", {"booster": "gblinear"}),
    "xgboost dart": ("model.ubj", "binary", {"booster": "dart"}),
    "catboost poisson": ("model.cbm", "values", {"loss_function": "Poisson"}),
    "catboost one against all": ("model.cbm", "classes", {"loss_function": "MultiClassOneVsAll"}),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of training options
@pytest.mark.parametrize(("name", "task", "more"), OBJECTIVES.values(), ids=OBJECTIVES)
def test_the_objective_decides_what_is_answered(
    tmp_path: Path, name: str, task: str, more: Any
) -> None:
    estimator = TRAIN[name](task, **more)
    model = models.load(boosters.save(tmp_path, name, estimator))
    found = models.predict(model, NUMBERS.tolist())

    first = model.signature.result
    assert first == ("variable" if task == "values" else "label")
    np.testing.assert_array_equal(found[first], np.ravel(estimator.predict(NUMBERS)))
    if "probabilities" in found:
        wanted = estimator.predict_proba(NUMBERS)
        np.testing.assert_array_equal(found["probabilities"], wanted)


@pytest.mark.parametrize("name", ["model.json", "model.cbm"])
def test_several_answers_at_once(tmp_path: Path, name: str) -> None:
    both = np.column_stack([TARGETS["binary"], NUMBERS[:, 2] > 0.5]).astype(int)
    if name == "model.cbm":
        estimator = boosters.catboost("binary", target=both, loss_function="MultiLogloss")
    else:
        estimator = boosters.library("xgboost").XGBClassifier(n_estimators=3).fit(NUMBERS, both)
    model = models.load(boosters.save(tmp_path, name, estimator))
    found = models.predict(model, NUMBERS.tolist())

    np.testing.assert_array_equal(found["label"], estimator.predict(NUMBERS))
    np.testing.assert_array_equal(found["probabilities"], estimator.predict_proba(NUMBERS))


def test_a_model_that_stopped_early_predicts_with_its_best_trees(tmp_path: Path) -> None:
    xgb = boosters.library("xgboost")
    noise = np.random.default_rng(1).random(60)
    estimator = xgb.XGBRegressor(n_estimators=30, early_stopping_rounds=5)
    estimator.fit(NUMBERS, noise, eval_set=[(NUMBERS, noise[::-1])], verbose=False)
    assert estimator.best_iteration < estimator.get_booster().num_boosted_rounds() - 1

    found = models.result(boosters.save(tmp_path, "model.ubj", estimator), NUMBERS.tolist())

    np.testing.assert_array_equal(found, estimator.predict(NUMBERS))


@pytest.mark.parametrize("name", FILES)
def test_many_threads_at_once_get_the_answers_of_one(tmp_path: Path, name: str) -> None:
    model = models.load(boosters.save(tmp_path, name, TRAIN[name]("classes")))
    batch = models.batch_of(model, NUMBERS.tolist())
    alone = model.predict(batch, ("probabilities",))["probabilities"]

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(model.predict, batch, ("probabilities",)) for _ in range(100)]

    assert all(np.array_equal(call.result()["probabilities"], alone) for call in calls)


BROKEN = {
    "model.txt": b"tree\nversion=v4\nnum_class=1\n",
    "model.json": b'{"learner": {"attributes": {}}}',
    "model.ubj": b"{L",
    "model.cbm": b"CBM1",
}


@pytest.mark.parametrize("name", FILES)
def test_a_broken_file_is_refused_without_a_path_of_this_machine(tmp_path: Path, name: str) -> None:
    models.save(tmp_path, name, BROKEN[name])
    told = {".txt": "lightgbm", ".cbm": "catboost"}.get(Path(name).suffix, "xgboost")

    with pytest.raises(ModelInvalid, match=f"^{told} cannot load {name}: ") as caught:
        models.load(tmp_path)

    assert "/" not in str(caught.value).replace("and/or", "")


@pytest.mark.parametrize("name", FILES)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = {".txt": "lightgbm", ".cbm": "catboost"}.get(Path(name).suffix, "xgboost")
    models.save(tmp_path, name, BROKEN[name])
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ModelInvalid, match=rf"{name} needs {library}, .* aml-serve\[boosters\]$"):
        models.load(tmp_path)


def test_an_output_that_the_model_has_not_is_refused(tmp_path: Path) -> None:
    folder = boosters.save(tmp_path, "model.txt", boosters.lightgbm("binary"))
    models.save(folder, "manifest.yaml", b"outputs: colour")

    with pytest.raises(ModelInvalid, match="no output 'colour'; it has label, probabilities"):
        models.load(folder)


def test_a_booster_may_be_served_by_its_bare_score(tmp_path: Path) -> None:
    estimator = boosters.lightgbm("binary")
    folder = boosters.save(tmp_path, "model.txt", estimator)
    models.save(folder, "manifest.yaml", b"outputs: prediction")

    wanted = estimator.booster_.predict(NUMBERS)
    np.testing.assert_array_equal(models.result(folder, NUMBERS.tolist()), wanted)


def test_a_process_with_onnx_models_alone_imports_no_other_library(tmp_path: Path) -> None:
    folder = models.identity(tmp_path)
    script = (
        "import sys; from pathlib import Path; from app import manifest, runtimes\n"
        "runtimes.load(manifest.read(Path(sys.argv[1])), 1)\n"
        "heavy = 'sklearn skops joblib pandas lightgbm xgboost catboost mlflow'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, check=True, text=True
    )

    assert run.stdout == "[]\n"
