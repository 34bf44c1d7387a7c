"""The commands `aml-serve models`: register | list | show | pull | accelerate.

`admin` has those of a running server.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.commands import admin
from app.commands.outcome import reasons, refuse, settings

models = typer.Typer(
    name="models",
    help="Register models, see what is registered, and fetch it ahead of time.\n\n"
    "SERVE_REGISTRY, or the variables of an Azure ML workspace, says where.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Output(StrEnum):
    """Forms of what is told."""

    TABLE = "table"
    JSON = "json"


Chosen = Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="the newest without VERSION")]
As = Annotated[Output, typer.Option("--output", "-o", help="how it is told")]


@models.command()
def register(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="a model file, or its folder")],
    name: Annotated[str, typer.Option("--name", "-n", help="letters, digits, '.', '_' and '-'")],
    description: Annotated[
        str, typer.Option("--description", "-d", help="the manifest's without it")
    ] = "",
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", "-t", metavar="KEY=VALUE", help="as often as needed"),
    ] = None,
    version: Annotated[str | None, typer.Option(help="the next number without it")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="register also what could not be served")
    ] = False,
) -> None:
    """Register a file or a folder under a name, as a new version of it.

    Files whose names begin with a dot and __pycache__ are left out. Prints NAME:VERSION.
    """
    chosen = settings()
    with reasons():
        from app.commands import registration

        given = registration.Request(path, name, version, description, tags_of(tag or []), force)
        registered = registration.register(chosen, given)
    typer.echo(registered)
    typer.echo(f"next: aml-serve score {registered}   scores its example, prints curl", err=True)


@models.command("list")
def list_(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="its versions, rather than all models")
    ] = None,
    output: As = Output.TABLE,
) -> None:
    """List all models with their newest version, or the versions of one."""
    chosen = settings()
    with reasons():
        from app.commands import listing

        listing.list_models(chosen, name, as_json=output is Output.JSON)


@models.command()
def show(model: Chosen, output: As = Output.TABLE) -> None:
    """Show what is known of a version, also its columns when its files are on this disk."""
    chosen = settings()
    with reasons():
        from app.commands import listing

        listing.show_model(chosen, model, as_json=output is Output.JSON)


@models.command()
def pull(
    model: Annotated[
        str | None, typer.Argument(metavar="NAME[:VERSION]", help="the newest without VERSION")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="all that SERVE_CONFIG=FILE would have preloaded"),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="a registry folder, instead of the store"),
    ] = None,
) -> None:
    """Fetch a model, or all that are to be preloaded, into the store or a registry folder.

    Prints each as NAME:VERSION and its folder. When some cannot be had the others still are, and
    the exit code is 1.
    """
    if model is not None and config is not None:
        refuse("a model and --config at once: name one of them")
    chosen = settings(**({} if config is None else {"SERVE_CONFIG": str(config)}))
    with reasons():
        from app.commands import fetching

        is_whole = fetching.pull(chosen, model, to)
    if not is_whole:
        raise typer.Exit(1)


@models.command()
def accelerate(model: Chosen) -> None:
    """Convert a scikit-learn model to ONNX, compare the two, and say which would be served."""
    chosen = settings()
    with reasons():
        from app.commands import acceleration

        is_served = acceleration.accelerate(chosen, model)
    raise typer.Exit(0 if is_served else 1)


admin.add_to(models)


def tags_of(given: list[str]) -> dict[str, str]:
    """Of the options `--tag`. Raises: ValueError: one is no KEY=VALUE."""
    tags = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"--tag is {text!r}; allowed: KEY=VALUE")
        tags[key.strip()] = value
    return tags
