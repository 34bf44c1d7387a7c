"""What scripts import as `azureml_inference_server_http.api.aml_response`, and by older names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response

RUN_FAILED = "x-ms-run-function-failed"


class AMLResponse(Response):
    """An answer with a status and headers of the script's own; a generator as message is streamed.

    Several values of one header are told by commas between them.
    """

    default_mimetype = "text/html"

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        """`json_str`: the message is written as JSON; None is an empty object."""
        given = response_headers or {}
        if message is None or json_str:
            body = json.dumps({} if message is None else message)
            super().__init__(body, status=status_code, mimetype="application/json")
        else:
            super().__init__(message, status=status_code)
            if "Content-Type" in given:
                self.headers.remove("Content-Type")
        self.headers[RUN_FAILED] = str(run_function_failed)
        for name, values in given.items():
            for value in values.split(","):
                self.headers.add(name, value.strip())
