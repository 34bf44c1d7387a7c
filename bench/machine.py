"""The machine and the software that a measurement was made with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import app
from bench import environments, load, peers


def described() -> dict[str, Any]:
    """What shapes the numbers, and nothing that names the machine."""
    stated = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.+)$", stated, re.MULTILINE)
    memory = re.search(r"^MemTotal: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1].strip() if model else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory[1]) * 1024 / 1e9) if memory else None,
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "load_generator": load.version(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def versions(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Peer -> package -> version."""
    return {name: environments.pins(peers.folder(name)) for name in names}


def subject() -> str:
    """Version and commit of aml-serve; a `+` when files differ from the commit."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "app")
    except (OSError, subprocess.CalledProcessError):
        return app.__version__
    return f"{app.__version__} ({commit}{'+' if changed else ''})"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=peers.ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
