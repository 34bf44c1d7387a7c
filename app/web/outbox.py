"""Answers that leave together."""

from __future__ import annotations

import asyncio


class Outbox:
    """Holds the answers made in one turn of the event loop until its end.

    To write to a socket wakes whoever reads it, which takes longer than all else the write does; of
    many written in a row only the first finds its reader asleep.
    """

    def __init__(self) -> None:
        self._answers: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Write it soon, after those before it."""
        if not self._answers:
            asyncio.get_running_loop().call_soon(self.flush)
        self._answers.append((transport, answer))

    def flush(self) -> None:
        """Write all now."""
        answers, self._answers = self._answers, []
        for transport, answer in answers:
            if not transport.is_closing():
                transport.write(answer)
