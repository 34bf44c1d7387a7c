"""The command `aml-serve`: serve | score."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import orjson
import typer

from app.errors import ServingError
from app.settings import Settings, SettingsError
from app.telemetry import logs

main = typer.Typer(
    name="aml-serve",
    help="Serves scikit-learn and ONNX models by name.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@main.command()
def serve() -> None:
    """Serve the models of SERVE_REGISTRY over HTTP, until SIGTERM."""
    settings = _settings()
    logs.configure(settings.log_level, settings.log_format)
    _limit_threads()
    from app.main import create_server  # after the limits, which numpy reads when it is imported

    try:
        server = create_server(settings)
    except (ValueError, OSError) as error:
        _refuse(str(error))
    server.run()
    if not server.started:
        sys.exit(1)


@main.command()
def score(
    name: Annotated[str, typer.Argument(help="NAME or NAME:VERSION")],
    file: Annotated[
        Path | None,
        typer.Argument(help="a JSON file with a request or its data; - reads standard input"),
    ] = None,
) -> None:
    """Score once without a server; without FILE, the model's own example.

    Prints the answer, and on standard error the curl line that would ask a server the same.
    """
    settings = _settings()
    logs.configure("warning", "text")
    _limit_threads()
    model, _, version = name.partition(":")
    try:
        request, answer = asyncio.run(_score(settings, model, version or None, file))
    except (ValueError, OSError, ServingError) as error:
        _refuse(str(error))
    path = f"/score/{model}/versions/{version}" if version else f"/score/{model}"
    url = f"http://localhost:{settings.port}{path}"
    command = ["curl", "-s", url, "-H", "Content-Type: application/json", "-d", request.decode()]
    typer.echo(shlex.join(command), err=True)
    typer.echo(answer.decode())


async def _score(
    settings: Settings, model: str, version: str | None, file: Path | None
) -> tuple[bytes, bytes]:
    """The request that was scored, and the body of the answer."""
    from app.main import build  # after the limits on threads
    from app.protocols.score import score_once
    from app.schema.examples import records

    parts = build(settings.model_copy(update={"on_demand": True}))
    parts.store.open()
    try:
        if file is None:
            loaded = await parts.catalog.find(model, version)
            request: Any = {"data": records(loaded.schema.signature, 1)[0]}
        else:
            request = await asyncio.to_thread(_request, file)
        body = orjson.dumps(request)
        return body, await score_once(parts.engine, model, version, body)
    finally:
        await parts.close()


def _request(file: Path) -> Any:
    given = orjson.loads(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    is_request = isinstance(given, dict) and given.keys() & {"data", "input_data"}
    return given if is_request else {"data": given}


def _settings() -> Settings:
    try:
        settings = Settings.load(os.environ)
        settings.require_registry()
    except SettingsError as error:
        _refuse(str(error))
    return settings


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(2)


def _limit_threads() -> None:
    """Linear algebra inside a model call stays in the thread of the call.

    Read by the libraries under numpy when they are imported.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
