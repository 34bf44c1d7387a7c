"""Models saved by mlflow itself: `python -m tests.mlflow_models FOLDER NAME...`.

A process of its own, since importing mlflow changes the one that does.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import boosters, models
from tests.models import KINDS, PEOPLE, ROWS

FRAME = PEOPLE[["age", "city", "income"]]
QUIET = {"pip_requirements": ["scikit-learn"]}
"""Else mlflow loads each model in a further process to see what it imports."""


def save_with_mlflow(folder: Path, *names: str) -> Path:
    """Those of `SAVED` called `names`, or all, as `folder`/NAME; gives `folder`."""
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("mlflow is not installed (the extra mlflow)")
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": f"file://{folder}/runs"}
    subprocess.run(
        [sys.executable, "-m", "tests.mlflow_models", folder, *(names or SAVED)],
        env={**os.environ, **kept},
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
    )
    return folder


def python_model(predict: Callable[..., Any]) -> Any:
    """Of a class that is pickled as a whole; mlflow makes a signature of the hints of `predict`."""
    import mlflow.pyfunc

    return type("Made", (mlflow.pyfunc.PythonModel,), {"predict": predict})()


def sklearn(form: str, **more: Any) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        import mlflow.sklearn
        from mlflow.models import infer_signature

        model = models.frame_classifier()
        mlflow.sklearn.save_model(
            model,
            path,
            serialization_format=form,
            signature=infer_signature(FRAME, model.predict(FRAME)),
            input_example=FRAME[:2],
            **{**QUIET, **more},
        )

    return save


def sklearn_tensor(path: Path) -> None:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    model = models.classifier()
    signature = infer_signature(ROWS, model.predict(ROWS))
    mlflow.sklearn.save_model(model, path, signature=signature, **QUIET)


def sklearn_with_code(path: Path) -> None:
    """An estimator of a module that is saved beside it."""
    import mlflow.sklearn

    source = path.parent / "source"
    source.mkdir()
    (source / "of_the_user.py").write_text(
        "from sklearn.linear_model import LinearRegression\nclass Own(LinearRegression): pass\n"
    )
    sys.path.insert(0, str(source))
    module = __import__("of_the_user")
    model = module.Own().fit(ROWS, ROWS.sum(axis=1))
    mlflow.sklearn.save_model(
        model,
        path,
        serialization_format="cloudpickle",
        code_paths=[str(source / "of_the_user.py")],
        **QUIET,
    )


def onnx(path: Path) -> None:
    import mlflow.onnx
    from mlflow.models import infer_signature
    from skl2onnx import to_onnx

    graph = to_onnx(models.classifier(), ROWS[:1].astype(np.float32))
    frame = pd.DataFrame(ROWS, columns=["a", "b"])
    mlflow.onnx.save_model(graph, path, signature=infer_signature(frame, KINDS), **QUIET)


def booster(flavour: str, train: Callable[[], Any]) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        importlib.import_module(f"mlflow.{flavour}").save_model(train(), path, **QUIET)

    return save


def pyfunc_frame(path: Path) -> None:
    """Of columns of every kind: what came, told by its numpy type, and how often."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, DataType

    def told(frame: Any, params: Any) -> Any:
        told = {name: str(frame[name].dtype) for name in frame}
        told |= {name: type(frame[name].iloc[0]).__name__ for name in ("raw", "many")}
        return [{**told, **(params or {})} for _ in range(len(frame))]

    made = python_model(lambda self, context, model_input, params=None: told(model_input, params))
    kinds = ("boolean", "integer", "long", "float", "double", "string", "datetime")
    columns: list[Any] = [ColSpec(kind, kind) for kind in kinds]
    columns += [ColSpec("binary", "raw"), ColSpec(Array(DataType.double), "many")]
    columns += [ColSpec("double", "maybe", required=False)]
    params = [
        ParamSpec("times", DataType.long, 2),
        ParamSpec("words", DataType.string, ["a"], shape=(-1,)),
        ParamSpec("scale", DataType.double, 1.0),
    ]
    signature = ModelSignature(Schema(columns), Schema([ColSpec("string")]), ParamSchema(params))
    mlflow.pyfunc.save_model(path, python_model=made, signature=signature, **QUIET)


def pyfunc_objects(path: Path) -> None:
    """Of objects, lists of objects and maps, as chats are; gives back what came."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import Array, DataType, Map, Object, Property

    message = Object([
        Property("role", DataType.string), Property("tokens", DataType.long, required=False)
    ])  # fmt: skip
    columns: list[Any] = [
        ColSpec(message, "message"),
        ColSpec(Array(message), "history"),
        ColSpec(Map(DataType.double), "scores"),
    ]
    signature = ModelSignature(Schema(columns))
    made = python_model(
        lambda self, context, model_input, params=None: model_input.to_dict("records")
    )
    mlflow.pyfunc.save_model(path, python_model=made, signature=signature, **QUIET)


def pyfunc_sum(path: Path) -> None:
    import mlflow.pyfunc
    from mlflow.models import infer_signature

    made = python_model(lambda self, context, model_input, params=None: model_input.sum(axis=1))
    frame = pd.DataFrame(ROWS, columns=["a", "b"])
    signature = infer_signature(frame, frame.sum(axis=1))
    mlflow.pyfunc.save_model(path, python_model=made, signature=signature, **QUIET)


def pyfunc_tensor(path: Path) -> None:
    import mlflow.pyfunc
    from mlflow.models import infer_signature

    made = python_model(lambda self, context, model_input, params=None: model_input * 2)
    rows = np.zeros((2, 3, 2), np.float32)
    signature = infer_signature(rows, rows)
    mlflow.pyfunc.save_model(path, python_model=made, signature=signature, **QUIET)


def pyfunc_hints(path: Path) -> None:
    import mlflow.pyfunc

    def predict(self: Any, context: Any, model_input: Any) -> Any:
        return [len(text) for text in model_input]

    predict.__annotations__ = {"model_input": list[str], "return": list[int]}
    mlflow.pyfunc.save_model(path, python_model=python_model(predict), **QUIET)


def pyfunc_unsigned(path: Path) -> None:
    import mlflow.pyfunc

    made = python_model(lambda self, context, model_input, params=None: model_input["a"])
    mlflow.pyfunc.save_model(path, python_model=made, **QUIET)


SAVED: Mapping[str, Callable[[Path], None]] = {
    "sklearn_skops": sklearn("skops"),
    "sklearn_cloudpickle": sklearn("cloudpickle"),
    "sklearn_pickle": sklearn("pickle"),
    "sklearn_scores": sklearn("cloudpickle", pyfunc_predict_fn="predict_proba"),
    "sklearn_tensor": sklearn_tensor,
    "sklearn_with_code": sklearn_with_code,
    "onnx": onnx,
    "lightgbm": booster("lightgbm", lambda: boosters.lightgbm("binary", boosters.FRAME)),
    "lightgbm_bare": booster(
        "lightgbm", lambda: boosters.lightgbm("binary", boosters.FRAME).booster_
    ),
    "xgboost": booster("xgboost", lambda: boosters.xgboost("classes")),
    "xgboost_bare": booster("xgboost", lambda: boosters.xgboost("classes").get_booster()),
    "catboost": booster("catboost", lambda: boosters.catboost("binary")),
    "pyfunc_frame": pyfunc_frame,
    "pyfunc_objects": pyfunc_objects,
    "pyfunc_sum": pyfunc_sum,
    "pyfunc_tensor": pyfunc_tensor,
    "pyfunc_hints": pyfunc_hints,
    "pyfunc_unsigned": pyfunc_unsigned,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for name in sys.argv[2:]:
        SAVED[name](Path(sys.argv[1]) / name)
