"""The commands of docs/migration.md, run as they stand there."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.server import ROOT, Server, run, serving

PAGE = (ROOT / "docs/migration.md").read_text()
CUSTOMER = next(iter(re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)))
SCRIPT = next(iter(re.findall(r"```python\n(.*?)\n```", PAGE, re.DOTALL)))
BLOCKS = re.findall(r"```console\n(.*?)\n```", PAGE, re.DOTALL)


class Scenario:
    """One user at a shell, with one server at most; a context manager that ends it."""

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        self._home = home
        self._settings = dict(settings)
        self._ending = ExitStack()
        self.server: Server | None = None
        (home / "customer.json").write_text(CUSTOMER)

    def __enter__(self) -> Scenario:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def play(self, block: str) -> None:
        """Each command, and what it prints against what stands below it."""
        for command, expected in _steps(block):
            printed = self._run(command)
            assert re.fullmatch(_pattern(expected), printed), f"{command}\n{printed}"

    def _run(self, command: str) -> str:
        words = shlex.split(command)
        given = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        words = words[len(given) :]
        if words[:2] == ["aml-serve", "serve"]:
            self._ending.close()
            settings = {**self._settings, "SERVE_CACHE_DIR": str(self._home / "cache"), **given}
            self.server = self._ending.enter_context(serving(**settings))
            return ""
        if words[0] == "aml-serve":
            port = {} if self.server is None else {"SERVE_PORT": str(self.server.port)}
            done = run(self._home, *words[1:], settings={**self._settings, **port, **given})
            assert done.returncode == 0, done.stderr.decode()
            return done.stdout.decode().strip()
        assert words[0] == "curl"
        assert self.server is not None
        line = command.replace("http://localhost:5001", self.server.url)
        asked = subprocess.run(
            ["bash", "-c", line], cwd=self._home, capture_output=True, text=True, check=True
        )
        return asked.stdout.strip()


def _steps(block: str) -> Iterator[tuple[str, str]]:
    for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = step.partition("\n")
        yield command, expected.strip()


def _pattern(expected: str) -> str:
    """`...` stands for anything, and spaces for any number of them."""
    parts = (re.escape(part).replace(r"\ ", " +") for part in re.split(r"\s*\.\.\.\s*", expected))
    return r"(?s:\s*.*?\s*)".join(part.replace("\\\n", r"\n") for part in parts)
