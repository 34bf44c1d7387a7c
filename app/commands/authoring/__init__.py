"""`aml-serve schema` and `aml-serve manifest create`: what lies beside a model, written for it.

`table` reads rows, `record` says what one of them is, `folder` puts a model folder together.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app.commands.models import tags_of
from app.commands.outcome import limit_threads, reasons

_manifests = typer.Typer(
    name="manifest",
    help="Put a model folder together.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class Form(StrEnum):
    """Of what says what a record is."""

    SCHEMA = "schema"
    SERVICE = "service"


def add_to(main: typer.Typer) -> None:
    """Let `main` have these commands too."""
    main.add_typer(_manifests)

    @main.command()
    def schema(
        table: Annotated[
            Path, typer.Option("--from", metavar="FILE", help="a table: *.csv or *.parquet")
        ],
        out: Annotated[
            Path, typer.Option("--out", metavar="FOLDER|FILE", help="where it is written")
        ],
        target: Annotated[
            str | None, typer.Option(metavar="COLUMN", help="what is predicted, so never sent")
        ] = None,
        form: Annotated[
            Form, typer.Option(help="schema.json, or service_schema.json of 2018")
        ] = Form.SCHEMA,
        force: Annotated[bool, typer.Option("--force", help="write over what is there")] = False,
    ) -> None:
        """Write the schema of one record, as the rows of a table show it.

        Columns in their order, types, which may be null, the values of texts that recur, and the
        first rows as examples. Read it over: a table shows what was, not all that may come.
        """
        limit_threads()
        with reasons():
            from app.commands.authoring import record

            written = record.write(table, out, target, is_service=form is Form.SERVICE, force=force)
        typer.echo(written)


@_manifests.command()
def create(
    model: Annotated[
        Path, typer.Option("--model", "-m", metavar="FILE", help="a model file or its folder")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="new, or empty")],
    script: Annotated[
        Path | None, typer.Option("--script", "-f", metavar="FILE", help="with init() and run()")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option("--schema", "-s", metavar="FILE", help="schema.json or service_schema.json"),
    ] = None,
    conda: Annotated[
        Path | None,
        typer.Option("--conda", "-c", metavar="FILE", help="the training environment"),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="of the model; the folder's without it")
    ] = None,
    description: Annotated[str, typer.Option("--description", "-d", help="shown of it")] = "",
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", "-t", metavar="KEY=VALUE", help="as often as needed"),
    ] = None,
) -> None:
    """Copy a model and what belongs to it into a folder, with a manifest.yaml that names it all.

    It is loaded as by `aml-serve check`, and refused with the reason when it would not be served.
    """
    with reasons():
        from app.commands.authoring import folder

        tags = tags_of(tag or [])
        parts = folder.Parts(model, out, script, schema, conda, name, description, tags)
        told = folder.create(parts)
    typer.echo(out)
    for line in told:
        typer.echo(line, err=True)
