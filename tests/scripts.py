"""Folders with scoring scripts."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

RAW = "from azureml.contrib.services.aml_request import rawhttp"
SCHEMA = """
from inference_schema.parameter_types.standard_py_parameter_type import (
    StandardPythonParameterType,
)
from inference_schema.schema_decorators import input_schema as by_kind

def input_schema(name):
    return by_kind(name, StandardPythonParameterType(1))
"""
"""The lines that give a script a decorator `input_schema(name)` of whole numbers."""


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
    return folder
