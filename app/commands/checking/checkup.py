"""One check, from what was asked to what is printed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing

from app.commands.checking.child import Event, events
from app.commands.checking.report import Finding, Report
from app.commands.checking.subject import Subject, near, subject
from app.commands.tables import progress, waiting, write_json, write_table

_CRASH_MEND = (
    "save it anew with the versions that are installed here, or as ONNX; see to it that there is "
    "memory enough"
)


def check(text: str, *, as_json: bool) -> bool:
    """Print what is found of a path or a name; whether it would be served.

    Raises:
        ValueError, SettingsError, Refused: as `subject`; or there is no such model.
    """
    found = report(text)
    if as_json:
        write_json(found.as_dict())
    else:
        write_table(("STEP", "", "FOUND"), list(found.rows()))
        sys.stdout.write(f"\n{text} {found.verdict()}\n")
    return found.refused is None


def report(text: str) -> Report:
    """What is found of it; bars while it is fetched, a sign of life while it is loaded.

    Raises: as `check`.
    """
    with subject(text) as asked, closing(events(asked.model, asked.changed)) as told:
        return _collected(asked, told)


def _collected(asked: Subject, told: Iterator[Event]) -> Report:
    report = Report(asked.text)
    with progress() as begin:
        bar = None
        for event in told:
            if "done" in event:
                bar = bar or begin(asked.model)
                bar(event["done"], event["size"])
            elif "finding" in event or "ended" in event:
                break
            else:
                _refuse_wrong(asked, event)
        else:
            return report
    with waiting(f"{asked.text} is loaded and measured"):
        _collect(report, event, told)
    return report


def _collect(report: Report, first: Event, rest: Iterator[Event]) -> None:
    step = "files"
    for event in (first, *rest):
        step = event.get("at", step)
        if "finding" in event:
            report.findings.append(Finding(**event["finding"]))
        elif "ended" in event:
            report.findings.append(Finding(step, "refused", event["ended"], mend=_CRASH_MEND))


def _refuse_wrong(asked: Subject, event: Event) -> None:
    if event.get("is_unknown"):
        raise ValueError(
            f"there is no file or folder {asked.text!r}{near(asked.text)}, and {event['wrong']}"
        )
    if "wrong" in event:
        raise ValueError(event["wrong"])
