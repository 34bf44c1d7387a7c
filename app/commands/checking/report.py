"""What a check tells: findings, step by step, and the verdict. Light; no model is touched here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

State = Literal["ok", "warning", "refused"]

STEPS: Final = (
    *("files", "digest", "trust", "format", "versions", "load", "schema", "golden"),
    *("joining", "acceleration", "memory", "latency"),
)
"""In the order in which they are told."""

_RIGHT_VERSIONS: Final = "install what it was saved with where it is served, or save it anew"
_MENDS: Final[Mapping[str, str]] = {
    "files": "look at the registry, its address and who asks it",
    "format": "put one model file into the folder, or name it in manifest.yaml (file: ...)",
    "load": _RIGHT_VERSIONS,
    "schema": "let schema.json and the model agree, or leave schema.json out",
    "golden": (
        "find out why the model answers so (versions, preprocessing); where its answers are right, "
        "correct golden.json or its tolerance"
    ),
    "memory": "raise SERVE_MEMORY_BYTES, or make the model smaller",
}
"""Step -> what mends it, where the reason itself does not say."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is told of one step."""

    step: str
    state: State
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs."""
    mend: str = ""
    """Of what is refused, where that is known."""


@dataclass(slots=True)
class Report:
    """All that was found of one model."""

    model: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def refused(self) -> Finding | None:
        """Why it would not be served; None: it would."""
        return next((each for each in self.findings if each.state == "refused"), None)

    @property
    def warnings(self) -> int:
        """How many there are."""
        return sum(each.state == "warning" for each in self.findings)

    def verdict(self) -> str:
        """In one line."""
        refused = self.refused
        if refused is not None:
            reason, mend = reason_and_mend(refused)
            return f"would not be served: {reason}.{f' Mend: {mend}.' if mend else ''}"
        if not self.warnings:
            return "would be served"
        return f"would be served, with {self.warnings} warning{'s' * (self.warnings > 1)}"

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Step, state and text of each line."""
        for step, found in self._by_step():
            if not found:
                yield step, "not reached", ""
            for i, each in enumerate(found):
                yield "" if i else step, each.state, each.text

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        refused = self.refused
        reason, mend = ("", "") if refused is None else reason_and_mend(refused)
        return {
            "model": self.model,
            "served": refused is None,
            "verdict": self.verdict(),
            "warnings": self.warnings,
            "reason": reason,
            "mend": mend,
            "steps": [_step(step, found) for step, found in self._by_step()],
        }

    def _by_step(self) -> Iterator[tuple[str, Sequence[Finding]]]:
        """What was found of each; nothing of those that were not reached."""
        refused = self.refused
        for step in STEPS:
            found = [each for each in self.findings if each.step == step]
            if found or (refused is not None and step != "acceleration"):
                yield step, found


def reason_and_mend(refused: Finding) -> tuple[str, str]:
    """Of what is refused; what `trust` and `verified` say has its mend behind a semicolon."""
    reason, mend = refused.text.rstrip("."), refused.mend or _MENDS.get(refused.step, "")
    if refused.step in ("digest", "trust") and "; " in reason:
        reason, _, mend = reason.partition("; ")
        mend = mend.partition(" (it would import")[0]
    return reason, mend


def _step(step: str, found: Sequence[Finding]) -> dict[str, Any]:
    states = {each.state for each in found}
    worst = next((s for s in ("refused", "warning", "ok") if s in states), "not reached")
    facts = {key: value for each in found for key, value in each.facts.items()}
    told = [{"state": each.state, "text": each.text} for each in found]
    return {"step": step, "state": worst, "found": told, "facts": facts}
