"""The socket that scripts send their tables to."""

from __future__ import annotations

import asyncio
import json

import pytest

from app.observers.tables import Tables
from app.tensors import ModelRef

REF = ModelRef("default", "churn", "2")
AS = json.dumps([REF.registry, REF.name, REF.version]).encode() + b"\n"
Told = list[tuple[ModelRef, str, str, bytes]]


def table(text: bytes, name: str = "inputs") -> bytes:
    head = {"collection": name, "id": "ours", "size": len(text)}
    return json.dumps(head).encode() + b"\n" + text


async def send(tables: Tables, *parts: bytes) -> None:
    """On a connection of its own, until that is closed."""
    reader, writer = await asyncio.open_unix_connection(f"\0{tables.address}")
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def test_tables_of_several_processes_come_with_their_model() -> None:
    told: Told = []
    tables = Tables(lambda *given: told.append(given))
    await tables.start()

    await asyncio.gather(*(send(tables, AS, table(b"{}"), table(b"[1]\n2")) for _ in range(3)))

    assert sorted(told, key=str) == sorted(
        [(REF, "inputs", "ours", b"{}"), (REF, "inputs", "ours", b"[1]\n2")] * 3, key=str
    )
    tables.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"\n", b"{", b"[1]\n", b"null\n", AS, AS + b"x\n", AS + b"[]\n", AS + b"{}\n",
        AS + b'{"collection": "a", "id": "b", "size": -1}\n',
        AS + b'{"collection": "a", "id": "b", "size": 1e9}\n',
        AS + b'{"collection": "a", "id": "b", "size": 9}\nshort', AS + b"x" * 200_000,
    ],
)  # fmt: skip
async def test_what_is_no_table_harms_no_other(sent: bytes) -> None:
    told: Told = []
    tables = Tables(lambda *given: told.append(given))
    await tables.start()

    await send(tables, sent)
    await send(tables, AS, table(b"{}"))

    assert told == [(REF, "inputs", "ours", b"{}")]
    tables.close()
