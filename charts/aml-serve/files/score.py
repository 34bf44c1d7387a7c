"""Run by `helm test`: is the service ready, and does it score? Needs Python and nothing else."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

URL = os.environ["SCORE_URL"]
MODEL = os.environ.get("SCORE_MODEL", "")
REQUEST = os.environ.get("SCORE_REQUEST", "")
KEYS = os.environ.get("SCORE_KEYS_FILE", "")


def ask(path: str, body: Any = None) -> Any:
    """The answer as JSON; ends the process when it is not 200."""
    headers = {"Content-Type": "application/json"}
    if KEYS:
        headers["x-api-key"] = Path(KEYS).read_text().replace(",", "\n").split()[0]
    sent = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(URL + path, sent, headers), timeout=90
        ) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{path} answered {error.code}: {error.read().decode()}")


def example() -> tuple[str, Any]:
    """The path of a model that is loaded, and the request that its documentation shows."""
    if MODEL:
        ask(f"/score/{MODEL}", {"data": []})  # loads it, and asks it nothing
    for path, methods in ask("/openapi.json")["paths"].items():
        if "x-model" in methods and path.split("/")[2] == (MODEL or path.split("/")[2]):
            content = methods["post"]["requestBody"]["content"]
            return path, content["application/json"]["example"]
    sys.exit("no model is loaded: list one as a model, or name one as tests.model")


def main() -> None:
    """Print what was asked and answered; exit 1 when it was not answered."""
    print("ready:", ask("/readyz")["status"])
    path, request = (f"/score/{MODEL}", json.loads(REQUEST)) if MODEL and REQUEST else example()
    print(path, json.dumps(request), "->", json.dumps(ask(path, request)))


main()
