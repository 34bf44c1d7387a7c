"""The commands `aml-serve models load | unload | refresh | label | traffic` of a running server."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.commands.outcome import refuse

if TYPE_CHECKING:
    from urllib.error import HTTPError

_TIMEOUT_S: Final = 600
"""A model that is loaded may have to be fetched first."""

Server = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="of the server; on this machine without it"),
]
Named = Annotated[str, typer.Argument(metavar="NAME")]
Pairs = Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE ...")]


def add_to(models: typer.Typer) -> None:
    """Let `models` have these commands too."""

    @models.command()
    def load(
        model: Annotated[str, typer.Argument(metavar="NAME[:VERSION]")], url: Server = None
    ) -> None:
        """Let a running server serve a model, or one more version of it."""
        name, _, version = model.partition(":")
        _ask("POST", url, name, "load", {"version": version} if version else None)

    @models.command()
    def unload(name: Named, url: Server = None) -> None:
        """Let a running server serve no version of a model, until it is loaded again."""
        _ask("POST", url, name, "unload")

    @models.command()
    def refresh(name: Named, url: Server = None) -> None:
        """Let a running server look for a newer version, and try one that was refused."""
        _ask("POST", url, name, "refresh")

    @models.command()
    def label(name: Named, labels: Pairs = None, url: Server = None) -> None:
        """Name versions, as in stable=2 candidate=3; in place of the labels before."""
        _ask("PUT", url, name, "labels", _pairs(labels, "LABEL=VERSION"))

    @models.command()
    def traffic(name: Named, shares: Pairs = None, url: Server = None) -> None:
        """Share the requests that name no version, as in 1=90 2=10; without shares: none."""
        pairs = _pairs(shares, "VERSION=SHARE")
        try:
            numbers = {version: float(share) for version, share in pairs.items()}
        except ValueError:
            refuse("a share is a number, as in 1=90 2=10")
        _ask("PUT", url, name, "traffic", numbers)


def _pairs(given: list[str] | None, form: str) -> dict[str, str]:
    found = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            refuse(f"{text!r} is not {form}")
        found[key] = value
    return found


def _ask(method: str, url: str | None, name: str, action: str, body: object = None) -> None:
    """Prints each version of the model with its state; ends the process with what went wrong."""
    from urllib.error import HTTPError  # which import what only this needs
    from urllib.parse import quote
    from urllib.request import Request, urlopen

    url = url or f"http://localhost:{os.environ.get('SERVE_PORT') or 5001}"
    key = (os.environ.get("SERVE_ADMIN_KEYS") or "").partition(",")[0].strip()
    if not key:
        refuse("SERVE_ADMIN_KEYS is not set: name the admin key of the server")
    if not url.startswith(("http://", "https://")):
        refuse("--url is no http:// or https:// URL")
    request = Request(  # noqa: S310  # looked at above
        f"{url.rstrip('/')}/admin/models/{quote(name, safe='')}/{action}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"x-api-key": key, "content-type": "application/json"},
    )
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            told: dict[str, Any] = json.load(answer)
    except HTTPError as error:
        refuse(_message(error), 1)
    except (OSError, ValueError) as error:
        refuse(f"{url} does not answer: {getattr(error, 'reason', error)}", 1)
    for version in told["versions"]:
        typer.echo(f"{told['name']}:{version['version']}  {version['state']}")
    if not told["versions"]:
        typer.echo(f"{told['name']}  not served")


def _message(error: HTTPError) -> str:
    try:
        return str(json.load(error)["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code}"
