"""The process that converts: `python -m app.runtimes.convert`, given a job as a line of JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from app import manifest, runtimes
from app.errors import ServingError
from app.runtimes.convert import GRAPH, Report, graph
from app.runtimes.convert.form import Form
from app.runtimes.convert.trees import Unconvertible
from app.runtimes.convert.trial import Trial, refused


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be converted, and what it may take."""

    folder: str
    """Of the model."""
    target: str
    """A folder for the graph and the report."""
    untrusted: str
    tolerance: float
    time_s: int
    memory_bytes: int


def main() -> None:
    """Do the job; whatever happens short of a crash, a report is written."""
    job = Job(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_caller, daemon=True).start()
    Path("/proc/self/oom_score_adj").write_text("1000")  # where memory is short, this goes first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (job.time_s, job.time_s))
    resource.setrlimit(resource.RLIMIT_DATA, (job.memory_bytes, job.memory_bytes))
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    report = _report(job)
    spent_s = round(time.perf_counter() - started, 3)
    replace(report, convert_s=spent_s).write(Path(job.target))


def _end_with_caller() -> None:
    """Standard input ends when who wants the result has died."""
    sys.stdin.read()
    os._exit(1)


def _report(job: Job) -> Report:
    try:
        return convert(job)
    except (Unconvertible, ServingError) as error:
        return Report(reason=str(error))
    except MemoryError:
        return Report(reason=f"the conversion wants more than {job.memory_bytes} bytes of memory")
    except Exception as error:  # noqa: BLE001  # the model's own code runs here, too
        told = " ".join(str(error).split())[:200]
        return Report(reason=f"the conversion raised {type(error).__name__}: {told}")


def convert(job: Job) -> Report:
    """The graph in the target folder, and how it compares.

    Raises:
        Unconvertible, ServingError: there is none; the text says why.
    """
    stated = manifest.read(Path(job.folder))
    reference: Any = runtimes.load(stated, 1, job.untrusted)
    graph.register()
    first: Report | None = None
    for types in graph.plans(reference.estimator, reference.signature):
        report = _tried(job, stated, reference, types)
        if not report.reason:
            return report
        first = first or report
    return first or Report(reason="it has no inputs")


def _tried(job: Job, stated: manifest.Manifest, reference: Any, types: graph.Types) -> Report:
    """One way to convert it."""
    file = Path(job.target) / GRAPH
    try:
        file.write_bytes(graph.converted(reference.estimator, types))
        made = runtimes.load(of_graph(file), 1)
        if len(made.signature.outputs) < len(reference.signature.outputs):
            return Report(reason="several answers for a row are not converted")
        form = Form(made, reference.signature)
        trial = Trial(reference, form, stated.golden, job.tolerance)
        reason = trial.judge()
    except (Unconvertible, ServingError) as error:
        return Report(reason=str(error))
    if reason:
        return Report(reason=f"it differs: {reason}", rows=trial.rows)
    before_s, after_s = trial.times()
    report = Report(
        rows=trial.rows,
        largest=trial.largest,
        before_s=before_s,
        after_s=after_s,
        domain=trial.domain.document(),
        left=trial.domain.told({s.name for s in reference.signature.inputs if s.nullable}),
    )
    return replace(report, reason=refused(report.gain))


def of_graph(file: Path) -> manifest.Manifest:
    """As of a model folder that holds nothing but the graph."""
    return manifest.Manifest(folder=file.parent, file=file, runtime="onnx")


if __name__ == "__main__":
    main()
