"""`python -m app` and `aml-serve`: the command line, which can be stopped from its first moment."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

_PROCESS_1 = 1
_ENDING = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Run the command line."""
    if os.getpid() == _PROCESS_1:  # of a container; the kernel keeps from it what it does not await
        for number in _ENDING:
            signal.signal(number, _end)
    if sys.argv[1:2] != ["worker"]:  # that one takes them when it can; see `supervisor.follow`
        # Whoever starts this may hold them back until here, as the image does: none is lost.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    from app.cli import main as command  # whose imports take a while

    command()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """As the kernel would end any other process, with the exit code that a shell tells of it."""
    os._exit(128 + number)


if __name__ == "__main__":
    main()
