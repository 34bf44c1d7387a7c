"""Answers of models whose operator wants them collected go to where he wants them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from app.collecting import Target
from app.collecting.outlet import Outcome, Outlet
from app.collecting.record import Columns, Content, Record, Table, Texts
from app.observers import Seen
from app.pool import Loaded
from app.tensors import RawBatch

CLOSE_S: Final = 2.0
"""What is there is written at the end, in so long at most."""


class Collection:
    """Of one process; with an outlet for each place, made when it is first needed."""

    def __init__(self, opened: Callable[[str], Target]) -> None:
        """`opened`: the place at a URL; called in the outlet's thread."""
        self._opened = opened
        self._outlets: dict[str, Outlet] = {}

    def tell(self, seen: Seen) -> None:
        """See `Observer`."""
        rule = seen.loaded.options.collect
        if rule is None or not rule.takes(seen.asked.request_id):
            return
        outlet = self._outlets.get(rule.to) or self._open(rule.to)
        batch, signature = seen.call.batch, seen.loaded.schema.signature
        prediction = seen.predicted.prediction
        content: Content
        if isinstance(batch, RawBatch):
            if rule.has_columns:  # it would be in the text that is not to be seen
                outlet.drop(seen.loaded.ref)
                return
            content = Texts.of(batch, prediction["reply"])
            size_bytes = content.size_bytes
        else:
            content = Columns(seen.call, prediction, signature, rule)
            size_bytes = max(content.size_bytes, seen.asked.content_length or 0)
        ref, request_id = seen.loaded.ref, seen.asked.request_id
        outlet.put(Record(time.time(), request_id, ref, content, size_bytes))

    def take(self, loaded: Loaded | None, name: str, table_id: str, text: bytes) -> None:
        """A table that a script has handed over; on the loop."""
        rule = None if loaded is None else loaded.options.collect
        if loaded is None or rule is None or not rule.takes(table_id.encode()):
            return
        outlet = self._outlets.get(rule.to) or self._open(rule.to)
        content = Table(name, text, rule)
        record_id = table_id.encode("latin-1", "replace")
        outlet.put(Record(time.time(), record_id, loaded.ref, content, content.size_bytes))

    def counts(self) -> Counter[tuple[str, str, Outcome]]:
        """By name, version and outcome."""
        found: Counter[tuple[str, str, Outcome]] = Counter()
        for outlet in list(self._outlets.values()):
            found.update(outlet.counts())
        return found

    def close(self) -> None:
        """Write what is there. Blocking, for `CLOSE_S` at most; in any thread."""
        until = time.monotonic() + CLOSE_S
        for outlet in self._outlets.values():
            outlet.close()
        for outlet in self._outlets.values():
            outlet.has_ended(until - time.monotonic())

    def _open(self, url: str) -> Outlet:
        place = url.partition("?")[0]
        self._outlets[url] = outlet = Outlet(place, lambda: self._opened(url))
        return outlet
