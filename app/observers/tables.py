"""Tables that scripts hand over by themselves (`Collector.collect`), on their way to collection.

What sends them is `app.script.monitoring`, in the processes of the scripts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import sys
import uuid
from collections.abc import Callable
from typing import Final

import orjson

from app.script.monitoring import LARGEST_BYTES
from app.tensors import ModelRef

logger = logging.getLogger(__name__)

_PEER: Final = struct.Struct("3i")
"""<sys/socket.h> struct ucred: process, user, group."""

Put = Callable[[ModelRef, str, str, bytes], None]
"""Told model, name of the table, its id, and its text."""


class Tables:
    """A socket without a file, of one process of the service. Lives on the loop."""

    def __init__(self, put: Put) -> None:
        """`put` is called for each table."""
        has_sockets = sys.platform == "linux"
        self.address = f"aml-serve-{os.getpid()}-{uuid.uuid4().hex}" if has_sockets else ""
        """Empty: nobody can send anything here."""
        self._put = put
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """From now on; scripts that begin before have nobody to send to."""
        if self.address:
            self._server = await asyncio.start_unix_server(self._accept, f"\0{self.address}")

    def close(self) -> None:
        """Of what comes nothing is taken any more."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._take(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _is_ours(writer):
                await self._read(reader)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("a script sends what is no table: %s", type(error).__name__)
        except (asyncio.IncompleteReadError, OSError):  # its process has ended
            pass
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Raises: ValueError, KeyError, TypeError, AttributeError: it is not what it should be."""
        line = await reader.readline()
        registry, name, version = orjson.loads(line or b"null")
        ref = ModelRef(str(registry), str(name), str(version))
        while line := await reader.readline():
            head = orjson.loads(line)
            size_bytes = int(head["size"])
            if not 0 <= size_bytes <= LARGEST_BYTES:
                raise ValueError("a table of no such size")
            text = await reader.readexactly(size_bytes)
            self._put(ref, str(head["collection"]), str(head["id"]), text)


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    """It comes from a process of the same user."""
    asking = writer.get_extra_info("socket")
    found = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return bool(_PEER.unpack(found)[1] == os.getuid())
