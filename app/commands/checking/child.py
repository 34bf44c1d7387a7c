"""The process in which a model is tried, seen from outside: what it tells, and how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import IO, Any, Final

from app.commands.outcome import again
from app.supervisor import ended

COMMAND: Final = "try-load"

Event = Mapping[str, Any]
"""`at`: a step begins; `done`, `size`: bytes of a fetch; `finding`; `wrong`: nothing to be checked;
`ended`: the process itself has, before its work was done."""


def events(model: str, changed: Mapping[str, str]) -> Generator[Event]:
    """What a process tells of `model`, with variables `changed`; afterwards it is gone, and its
    temporary files are.

    What the model writes to standard output and error is not shown; the last line of it when the
    process does not end well.
    """
    reading, writing = os.pipe()
    with (
        open(reading, "rb") as told,
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryDirectory(prefix="aml-serve-") as home,
    ):
        process = subprocess.Popen(  # noqa: S603  # this program itself
            again(COMMAND, model, str(writing), str(os.getpid())),
            pass_fds=(writing,),
            env={**os.environ, **changed, "TMPDIR": home},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        os.close(writing)
        is_done = False
        try:
            for line in told:
                event = json.loads(line)
                is_done = is_done or "end" in event
                if is_done:
                    break
                yield event
            if not is_done:
                yield {
                    "ended": f"the process that loaded it {ended(process.wait())}{_last_line(said)}"
                }
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read()[-4000:].decode(errors="replace").strip().splitlines()
    return f" ({lines[-1].strip()[:200]})" if lines else ""
