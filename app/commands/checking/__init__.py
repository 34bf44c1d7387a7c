"""`aml-serve check PATH | NAME[:VERSION]`: would it be served, and what of it is known.

`checkup` is one check from end to end: `subject` says what is checked, `child` starts the process
in which `trial` loads it; there `findings` and `latency` know what is told of a model, `telling`
tells it. `report` is what people and programs see.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer

from app.commands.models import As, Output
from app.commands.outcome import limit_threads, reasons, settings


def add_to(main: typer.Typer) -> None:
    """Let `main` have this command too."""

    @main.command()
    def check(
        model: Annotated[
            str,
            typer.Argument(
                metavar="PATH | NAME[:VERSION]", help="a model file or its folder; or a name"
            ),
        ],
        output: As = Output.TABLE,
    ) -> None:
        """Load a model as the server would, and say whether it would be served, or why not.

        Tells files, digest, format, versions, schema, golden result, memory and speed. A path
        needs no registry. The exit code is 0 when it would be served, else 1.
        """
        with reasons():
            from app.commands.checking import checkup

            is_served = checkup.check(model, as_json=output is Output.JSON)
        raise typer.Exit(0 if is_served else 1)

    @main.command("try-load", hidden=True)
    def try_load(model: str, told: int, parent: int) -> None:
        """The process that `check` starts; it tells what it finds to the file `told`."""
        from app.supervisor import follow

        follow(parent)
        os.set_inheritable(told, False)
        limit_threads()  # before numpy is imported
        chosen = settings()
        from app.commands.checking import trial

        with os.fdopen(told, "w", encoding="utf-8") as stream:
            trial.run(chosen, model, stream)
