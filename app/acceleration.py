"""A scikit-learn model as it is served: by its ONNX form where the two were found equal.

The conversion runs in a process of its own (`runtimes.convert`), once for each digest; what it
found is kept in the store.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

import app
from app import quota, runtimes
from app.errors import ServingError
from app.manifest import Manifest
from app.runtimes.convert import EXTRA, GRAPH, TOLERANCE, VERSION, Report
from app.runtimes.convert.domain import Domain
from app.runtimes.convert.form import Accelerated, Form
from app.runtimes.convert.shadow import Shadowed
from app.store import Store
from app.tensors import Model

logger = logging.getLogger(__name__)

Mode = Literal["off", "verify", "shadow"]

TIME_S: Final = 300
"""What a conversion and its comparison may take."""
_PACKAGES: Final = (*EXTRA, "numpy", "onnxruntime", "scikit-learn")
"""Those on whose versions the result depends."""
_ENVIRONMENT: Final = frozenset(
    {"HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV"}
)
"""What a conversion sees of ours: no keys and no tokens."""


@dataclass(frozen=True, slots=True)
class Acceleration:
    """What became of the wish to serve a model by its ONNX form."""

    mode: Mode = "off"
    report: Report = field(default_factory=Report)
    shadow: Shadowed | None = None
    size_bytes: int = 0
    """Of the ONNX form, beside the model's own."""

    def told(self) -> str:
        """For people: yes, or why not."""
        if self.shadow is None:
            return self.report.told()
        return f"shadow: {self.shadow.told()}; when verified: {self.report.told()}"

    def begin(self) -> None:
        """The model is checked; what it predicts from now on are answers."""
        if self.shadow is not None:
            self.shadow.is_live = True

    def shadow_rows(self) -> Mapping[str, int]:
        """Outcome of a comparison with the ONNX form -> rows; empty where none is made."""
        return {} if self.shadow is None else self.shadow.counts()


OFF: Final = Acceleration()


class Crashed(Exception):
    """A conversion ended without a report; the text says how."""


class Accelerator:
    """Converts, and remembers what came of it. Its methods block."""

    def __init__(self, store: Store, *, time_s: int = TIME_S) -> None:
        self._store = store
        self._time_s = time_s
        self._crashed: dict[str, Report] = {}
        """By key; not tried again by this process."""

    def load(
        self, stated: Manifest, digest: str, untrusted: str, threads: int, mode: Mode
    ) -> tuple[Model, Acceleration]:
        """The model of `stated` as it is to be served.

        Raises:
            ModelInvalid: as `runtimes.load`, of the model itself; whatever is wrong with its
                ONNX form is told by the `Acceleration`.
        """
        model = runtimes.load(stated, threads, untrusted)
        if mode == "off":
            return model, OFF
        report, folder = self.report(stated, digest, untrusted)
        if report.reason or folder is None:
            logger.warning("it is served by scikit-learn: %s", report.reason)
            return model, Acceleration(mode, report)
        try:
            form = Form(runtimes.load(graph_of(folder), threads), model.signature)
            size_bytes = (folder / GRAPH).stat().st_size
        except (ServingError, OSError) as error:
            return model, Acceleration(mode, replace(report, reason=str(error)))
        domain = Domain.read(report.domain)
        if mode == "shadow":
            shadowed = Shadowed(model, form, domain, TOLERANCE)
            return shadowed, Acceleration(mode, report, shadowed, size_bytes)
        return Accelerated(model, form, domain), Acceleration(mode, report, None, size_bytes)

    def report(self, stated: Manifest, digest: str, untrusted: str) -> tuple[Report, Path | None]:
        """What came of converting the model, now or before, and the folder where it lies."""
        if stated.runtime != "sklearn":
            return Report(reason=f"it is served by {stated.runtime}, not by scikit-learn"), None
        try:
            key = _key(digest)
        except PackageNotFoundError as error:
            return Report(reason=f"{error.name} is not installed (the extra accelerate)"), None
        if key in self._crashed:
            return self._crashed[key], None
        convert = functools.partial(self._convert, stated, untrusted)
        try:
            folder = self._store.made(key, convert)
            return Report.read(folder), folder
        except Crashed as error:
            self._crashed[key] = Report(reason=str(error))
            return self._crashed[key], None
        except (ServingError, OSError, ValueError, TypeError) as error:
            return Report(reason=f"the converted form cannot be kept: {error}"), None

    def _convert(self, stated: Manifest, untrusted: str, target: Path) -> None:
        """Into `target`, by a process that may crash, hang and take memory as it likes."""
        job = {
            "folder": str(stated.folder.absolute()),
            "target": str(target.absolute()),
            "untrusted": untrusted,
            "tolerance": TOLERANCE,
            "time_s": self._time_s,
            "memory_bytes": max(1 << 30, quota.memory_bytes() // 2),
        }
        child = subprocess.Popen(  # our own module, by the interpreter we run in
            [sys.executable, "-m", "app.runtimes.convert"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            cwd=target,
            start_new_session=True,
        )
        assert child.stdin is not None
        with child.stdin as line:
            try:
                line.write(json.dumps(job).encode() + b"\n")
                line.flush()
                code = child.wait(self._time_s)
            except subprocess.TimeoutExpired:
                raise Crashed(f"the conversion took more than {self._time_s} s") from None
            except BrokenPipeError:
                code = child.wait()
            finally:
                _end(child)
        if code or not (target / "report.json").is_file():
            raise Crashed(f"the conversion {_ended(code)}")
        if Report.read(target).reason:
            (target / GRAPH).unlink(missing_ok=True)


def graph_of(folder: Path) -> Manifest:
    """As of a model folder that holds nothing but the graph."""
    return Manifest(folder=folder, file=folder / GRAPH, runtime="onnx")


def _key(digest: str) -> str:
    """Raises: PackageNotFoundError: what converts is not installed."""
    versions = [f"{name} {version(name)}" for name in _PACKAGES]
    return sha256("\n".join([digest, str(VERSION), str(TOLERANCE), *versions]).encode()).hexdigest()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
    root = str(Path(app.__file__).parent.parent)
    before = kept.get("PYTHONPATH")
    kept["PYTHONPATH"] = root if not before else f"{root}{os.pathsep}{before}"
    return kept | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def _end(child: subprocess.Popen[bytes]) -> None:
    """With all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
