"""Folders with scoring scripts, and what stands in for packages that need not be installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from textwrap import dedent

RAW = "from azureml.contrib.services.aml_request import rawhttp"
_FAKE = {
    "__init__": "",
    "schema_util": """
        def is_schema_decorated(run):
            return hasattr(run, "told")

        def get_input_schema(run):
            return run.told

        def get_output_schema(run):
            return {}

        def get_supported_versions(run):
            return ["2.0", "3.0", "3.1"]
        """,
    "schema_decorators": """
        from inference_schema import schema_util

        def input_schema(name, kind=None):
            def decorate(run):
                run.told = {"type": "object", "properties": {name: {}}, "required": [name]}
                return run
            return decorate
        """,
}
SCHEMA = (
    "from inference_schema.schema_decorators import input_schema"
    if importlib.util.find_spec("inference_schema") is None
    else """
from inference_schema.parameter_types.standard_py_parameter_type import (
    StandardPythonParameterType,
)
from inference_schema.schema_decorators import input_schema as by_kind

def input_schema(name):
    return by_kind(name, StandardPythonParameterType("text"))
"""
)
"""The line that gives a script a decorator `input_schema(name)`."""


def write_script(root: Path, name: str, code: str, version: str = "1", **files: str) -> Path:
    """A model folder with `score.py`; `files` are further ones by stem, `manifest` is YAML."""
    folder = root / name / version
    folder.mkdir(parents=True)
    text = dedent(code)
    if "def init" not in text:
        text += "\ndef init():\n    pass\n"
    (folder / "score.py").write_text(text)
    for stem, content in files.items():
        suffix = ".yaml" if stem == "manifest" else ".json" if stem == "golden" else ".py"
        (folder / f"{stem}{suffix}").write_text(dedent(content))
    if "inference_schema" in text and importlib.util.find_spec("inference_schema") is None:
        fake = folder / "inference_schema"
        fake.mkdir()
        for stem, content in _FAKE.items():
            (fake / f"{stem}.py").write_text(dedent(content))
    return folder
