"""An answer that leaves part by part."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from app.limits import Receive
from app.tensors import Stream

logger = logging.getLogger(__name__)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def stream(
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    body: Stream,
    receive: Receive,
    send: Send,
) -> None:
    """Send `body` while the client reads; its parts end when the client leaves.

    Raises:
        ConnectionAbortedError: it broke off, which only the end of the connection can tell.
    """
    left = asyncio.ensure_future(receive())  # the body of the request has come: the next is that
    try:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        async for part in body:
            if left.done():
                return
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except Exception as error:
        raise ConnectionAbortedError("a streamed answer broke off") from error
    finally:
        left.cancel()
        await body.aclose()
