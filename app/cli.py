"""The command `aml-serve`: serve | score | check | schema | manifest | models."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final, NoReturn

import orjson
import typer

from app.commands import authoring, checking
from app.commands.models import models
from app.commands.outcome import again, limit_threads, refuse, reloading, settings
from app.errors import ServingError
from app.settings import Settings
from app.supervisor import Seat, Supervisor, follow
from app.telemetry import logs
from app.telemetry.runs import run_folder
from app.web.listeners import listen

_THREAD_END_S: Final = 0.3

main = typer.Typer(
    name="aml-serve",
    help="Serves scikit-learn and ONNX models by name.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
main.add_typer(models)


@main.command()
def serve(
    reload: Annotated[
        bool,
        typer.Option("--reload", help="load a model again when its files change; of folders only"),
    ] = False,
) -> None:
    """Serve the models of SERVE_REGISTRY over HTTP, until SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)  # until the server takes them; process 1 has no default
    chosen = reloading(settings()) if reload else settings()
    logs.configure(chosen.log_level, chosen.log_format)
    listeners = _listeners(chosen)
    if chosen.workers == 1:
        _serve(chosen, listeners)
    with run_folder(chosen.cache_dir) as folder:
        code = Supervisor(_worker_command, listeners, folder, chosen.workers).run()
    sys.exit(code)


@main.command(hidden=True)
def worker(seat: str) -> None:
    """One of the processes that `serve` starts, given its seat as JSON."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    given = Seat(**orjson.loads(seat))
    follow(given.supervisor)
    chosen = settings()
    logs.configure(chosen.log_level, chosen.log_format)
    _serve(chosen, [socket.socket(fileno=number) for number in given.listeners], given)


@main.command()
def score(
    name: Annotated[str, typer.Argument(metavar="NAME", help="NAME or NAME:VERSION")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="a JSON file with a request or its data; - reads standard input"
        ),
    ] = None,
) -> None:
    """Score once without a server; without FILE, the model's own example.

    Prints the answer, and on standard error the curl line that would ask a server the same.
    """
    chosen = settings()
    logs.configure("warning", "text")
    limit_threads()
    model, _, version = name.partition(":")
    try:
        request, answer = asyncio.run(_score(chosen, model, version or None, file))
    except (ValueError, OSError, ServingError) as error:
        refuse(str(error))
    typer.echo(_curl(chosen, model, version, request), err=True)
    typer.echo(answer.decode())


checking.add_to(main)
authoring.add_to(main)


def _curl(settings: Settings, model: str, version: str, request: bytes) -> str:
    """The line for a shell that asks a server on this machine; a key is left to the shell."""
    path = f"/score/{model}/versions/{version}" if version else f"/score/{model}"
    url = f"http://localhost:{settings.port}{path}"
    has_keys = settings.api_keys is not None or settings.api_keys_file is not None
    key = ' -H "x-api-key: $KEY"' if has_keys else ""
    return (
        f"curl -s {url} -H 'Content-Type: application/json'{key} -d {shlex.quote(request.decode())}"
    )


async def _score(
    settings: Settings, model: str, version: str | None, file: Path | None
) -> tuple[bytes, bytes]:
    """The request that was scored, and the body of the answer."""
    from app.main import build  # after the limits on threads
    from app.protocols.score import score_once
    from app.schema.examples import records

    parts = build(settings.model_copy(update={"on_demand": True, "workers": 1}))
    try:
        if file is None:
            loaded = await parts.catalog.find(model, version)
            request: Any = {"data": records(loaded.schema.signature, 1)[0]}
        else:
            given = await asyncio.to_thread(_given, file)
            request = given
            if not isinstance(given, dict) or not given.keys() & {"data", "input_data"}:
                loaded = await parts.catalog.find(model, version)
                request = _request(given, loaded.schema.signature.input_names)
        body = orjson.dumps(request)
        return body, await score_once(parts.engine, model, version, body)
    finally:
        await parts.close()


def _given(file: Path) -> Any:
    text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error


def _request(given: Any, input_names: tuple[str, ...]) -> Any:
    """What holds an input by its name is a request, all else is data."""
    is_request = isinstance(given, dict) and given.keys() & set(input_names)
    return given if is_request else {"data": given}


def _serve(
    settings: Settings, listeners: list[socket.socket], seat: Seat | None = None
) -> NoReturn:
    limit_threads()
    from app.main import create_server  # after the limits, which numpy reads when it is imported

    try:
        server = create_server(settings, listeners, seat)
    except ValueError as error:
        refuse(str(error))
    server.run()
    _leave(1 if server.force_exit or not server.started else 0)


def _worker_command(seat: Seat) -> list[str]:
    return again("worker", orjson.dumps(seat).decode())


def _listeners(settings: Settings) -> list[socket.socket]:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        refuse(
            f"SERVE_HOST and SERVE_PORT name an address that cannot be listened on "
            f"({settings.host}:{settings.port}: {error.strerror}); allowed: a free one"
        )


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(0)


def _leave(code: int) -> NoReturn:
    """Exit, even while a thread is inside a model or a load; nothing else can end those."""
    others = [t for t in threading.enumerate() if t is not threading.main_thread()]
    for thread in others:
        if not thread.daemon:
            thread.join(_THREAD_END_S)
            if thread.is_alive():
                logging.shutdown()
                os._exit(code)
    sys.exit(code)
