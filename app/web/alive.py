"""Does the server of this container answer: `python -m app.web.alive`, for HEALTHCHECK.

Light: nothing of the service is imported, and no proxy is asked.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from typing import Final

_PORT: Final = 5001
_TIMEOUT_S: Final = 4.0
_EVERYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104  # what a server listens on, not this


def is_alive(environ: Mapping[str, str]) -> bool:
    """Whether /livez answers 200, where the settings say that it listens."""
    host, port = environ.get("SERVE_HOST", ""), environ.get("SERVE_PORT", "")
    connection = http.client.HTTPConnection(
        "localhost" if host in _EVERYWHERE else host,
        int(port) if port.isdecimal() else _PORT,  # Kubernetes may have injected tcp://...
        timeout=_TIMEOUT_S,
    )
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_alive(os.environ) else 1)
