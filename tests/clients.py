"""Clients of a running server that keep it busy."""

from __future__ import annotations

import threading
from collections import Counter

import requests

from tests.server import CLAIM, Server

TEXT = "My house is on fire"


class Load:
    """Clients that score on connections of their own until told to stop."""

    def __init__(self, server: Server, clients: int, *, keep_alive: bool = True) -> None:
        self._url = f"{server.url}/score/{CLAIM}"
        self._headers = {} if keep_alive else {"Connection": "close"}
        self._is_over = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        with requests.Session() as session:
            while not self._is_over.is_set():
                try:
                    answer = session.post(
                        self._url, json={"data": TEXT}, headers=self._headers, timeout=30
                    )
                    closes = answer.headers.get("connection", "")
                    self.outcomes[f"{answer.status_code} {closes}".strip()] += 1
                except requests.RequestException as error:
                    self.outcomes[type(error).__name__] += 1
