"""What scripts import as `azureml_inference_server_http.api.aml_request`, and by older names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from werkzeug.wrappers import Request

Run = TypeVar("Run", bound=Callable[..., Any])


class AMLRequest(Request):
    """A whole request, as a script with @rawhttp takes it."""


def rawhttp(run: Run) -> Run:
    """`run` takes a whole request, and not only its body."""
    taken.append(run)
    return run


taken: list[Callable[..., Any]] = []
"""Functions with @rawhttp, in the order of their definition."""
