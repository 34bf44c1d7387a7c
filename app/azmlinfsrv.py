"""The command `azmlinfsrv`: the flags of azureml-inference-server-http 1.5.1, for the same script.

They are variables of the environment by another name; `app.settings.dropin` reads those.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import NoReturn


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """What is wrong, and the help; that server's exit code."""
        self.print_help(sys.stderr)
        self.exit(1, f"\n{message}\n")


def main() -> None:
    """Serve the script that the flags name."""
    has_reload = put(sys.argv[1:], os.environ)
    sys.argv[1:] = ["serve", "--reload"] if has_reload else ["serve"]
    from app.__main__ import main as serve

    serve()


def put(arguments: Sequence[str], environ: MutableMapping[str, str]) -> bool:
    """Into `environ` what the flags say; ends the process where they say nothing of use.

    Returns:
        Whether the script is loaded again when its files change.
    """
    given = _parser().parse_args(arguments)
    environ.setdefault("AML_APP_ROOT", str(Path.cwd()))
    environ["AZUREML_ENTRY_SCRIPT"] = str(Path(given.entry_script).resolve())
    environ["SERVE_PORT"] = str(given.port)
    environ["WORKER_COUNT"] = str(given.worker_count)
    if given.model_dir is not None:
        environ["AZUREML_MODEL_DIR"] = str(Path(given.model_dir).resolve())
    if given.access_control_allow_origins is not None:
        environ["AML_CORS_ORIGINS"] = given.access_control_allow_origins
    if given.appinsights_instrumentation_key is not None:
        environ["AML_APP_INSIGHTS_KEY"] = given.appinsights_instrumentation_key
        environ["AML_APP_INSIGHTS_ENABLED"] = "true"
    return bool(given.reload)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="azmlinfsrv", description="Serve one scoring script, by aml-serve.")
    add = parser.add_argument
    add("--entry_script", required=True, help="the script with init() and run()")
    add("--model_dir", help="what AZUREML_MODEL_DIR is to be")
    add("--port", type=int, default=5001, help="where it listens; 5001")
    add("--worker_count", type=int, default=1, help="processes of the script; 1")
    add("--access_control_allow_origins", help="whose pages may read answers, comma-separated")
    add("--appinsights_instrumentation_key", help="where traces go")
    add("--reload", action="store_true", help="load the script again when its files change")
    return parser
