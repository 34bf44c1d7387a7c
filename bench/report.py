"""Writes what a run found: `latest.json`, a page of tables, and plots."""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from bench import environments, peers, results
from bench.peers import SUBJECT
from bench.results import Line, Results
from bench.targets import targets
from bench.workloads import TITLES

_LIBRARIES: Final = (*environments.MODEL_LIBRARIES, "uvicorn")
_PER_LOAD: Final = ("requests/s", "p50, ms", "p99, ms")
_PER_SERVER: Final = ("memory, MB", "first answer, s (CPU s)", "not 200", "aml-serve to it")


def write(found: Results, folder: Path) -> list[Path]:
    """Write all files; the plots only when their environment can be made. Blocking."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "latest.json"
    data.write_text(json.dumps(_document(found), indent=1) + "\n")
    plots = _plots(data)
    page = folder / "README.md"
    page.write_text(_page(found, plots))
    return [data, page, *plots]


def tables(found: Results) -> str:
    """The targets, a table for each workload and one for the overload, in Markdown."""
    sections = [_section(found, workload) for workload in _workloads(found)]
    every = [_targets(found), *sections, _overloads(found)]
    return "\n\n".join(section for section in every if section)


def _document(found: Results) -> dict[str, Any]:
    medians = {workload: results.lines(found, workload) for workload in _workloads(found)}
    return {
        **found.facts,
        "medians": {w: [dataclasses.asdict(x) for x in of] for w, of in medians.items()},
        "ratios": {w: results.ratios(of) for w, of in medians.items()},
        "share_of_floor_and_bare_call": {w: results.share_of_possible(found, w) for w in medians},
        "bare_calls_per_s": found.bare,
        "targets": [dataclasses.asdict(target) for target in targets(found)],
        "failures": [dataclasses.asdict(failure) for failure in found.failures],
        "overload": [{**dataclasses.asdict(run), "faults": run.faults} for run in found.overloads],
        "rounds": [dataclasses.asdict(visit) for visit in found.visits],
    }


def _workloads(found: Results) -> list[str]:
    named = {visit.workload for visit in found.visits}
    return [workload for workload in TITLES if workload in named]


def _page(found: Results, plots: Iterable[Path]) -> str:
    facts = found.facts
    machine = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in _shown(facts))
    parts = [
        "# Side by side",
        f"Written by `{facts['command']}` on {facts['date']}; how and what is in "
        "[bench/README.md](../README.md), all numbers in [latest.json](latest.json).",
        machine + ".",
        *(f"![{plot.stem.replace('-', ' ')}]({plot.name})" for plot in plots),
        tables(found),
        _servers(found) if found.visits else "",
        _failures(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shown(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("aml-serve", facts["subject"]),
        *facts["machine"].items(),
        *((name, facts["versions"][SUBJECT][name]) for name in _LIBRARIES),
        *((key, facts[key]) for key in ("rounds_made", "seconds")),
    ]


def _targets(found: Results) -> str:
    rows = [[t.workload, t.asked, t.measured, t.verdict] for t in targets(found)]
    return f"## Targets\n\n{_table(['workload', 'asked', 'measured', ''], rows)}" if rows else ""


def _section(found: Results, workload: str) -> str:
    of = results.lines(found, workload)
    ratios = results.ratios(of)
    counts = " / ".join(map(str, of[0].requests_per_s))
    heads = ["server", *(f"{head} ({counts})" for head in _PER_LOAD), *_PER_SERVER]
    rows = [_row(line, ratios.get(line.peer, {})) for line in of]
    text = f"## {workload}: {TITLES[workload]}\n\n{_table(heads, rows)}"
    if calls := found.bare.get(workload):
        text += f"\n\nThe bare model call, in process: {statistics.median(calls):,.0f} a second."
    if share := results.share_of_possible(found, workload):
        shares = ", ".join(f"{value:.2f} at {c}" for c, value in share.items())
        text += f" The floor and it take {shares} connections of the time of aml-serve."
    return text


def _row(line: Line, ratio: Mapping[int, float]) -> list[str]:
    bad = f"{line.not_200:,}" + (f" (+ {line.broken:,} broken)" if line.broken else "")
    return [
        f"**{SUBJECT}**" if line.peer == SUBJECT else peers.get(line.peer).title,
        " / ".join(f"{value:,.0f}" for value in line.requests_per_s.values()),
        " / ".join(map(_told, line.p50_ms.values())),
        " / ".join(map(_told, line.p99_ms.values())),
        f"{line.memory_mb:,.0f}",
        f"{line.first_answer_s:.2f} ({line.first_answer_processor_s:.2f})",
        bad,
        " / ".join(f"{value:.2f}" for value in ratio.values()) + " x" if ratio else "-",
    ]


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _overloads(found: Results) -> str:
    if not found.overloads:
        return ""
    heads = ["connections", "200/s", "p50 of 200, ms", "p99 of 200, ms", "answers", "faults"]
    rows = [
        [
            f"{run.connections:,}",
            f"{run.answered_per_s:,.0f}",
            _told(run.p50_ms),
            _told(run.p99_ms),
            ", ".join(f"{count:,} x {status}" for status, count in sorted(run.statuses.items())),
            "; ".join(run.faults) or "none",
        ]
        for run in found.overloads
    ]
    return f"## Overload: {SUBJECT} on W2\n\n{_table(heads, rows)}"


def _servers(found: Results) -> str:
    heads = ["server", "version", "form", "checks of a row of W5"]
    rows = []
    for name in dict.fromkeys(visit.peer for visit in found.visits):
        peer = peers.get(name)
        version = found.facts["versions"][name].get(peer.package or "", "")
        shown = found.facts["subject"] if name == SUBJECT else version
        rows.append([peer.title, shown or "-", peer.form, peer.checks])
    return f"## The servers\n\n{_table(heads, rows)}"


def _failures(found: Results) -> str:
    if not found.failures:
        return ""
    rows = [[peers.get(f.peer).title, f.workload, f.reason] for f in found.failures]
    return f"## Not measured\n\n{_table(['server', 'workload', 'why'], rows)}"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in safe)


def _plots(data: Path) -> list[Path]:
    for old in data.parent.glob("*.png"):
        old.unlink()
    try:
        python = environments.python(environments.PLOTS)
    except environments.NotInstalled as error:
        print(f"no plots: {error}")
        return []
    drawn = subprocess.run([python, environments.PLOTS / "draw.py", data])
    if drawn.returncode:
        print(f"no plots: exit code {drawn.returncode}")
    return sorted(data.parent.glob("*.png"))
