"""/swagger.json in every version."""

from __future__ import annotations

from typing import Final

from tests.differential.wire import Case, get

_VERSIONS: Final = ("2", "2.0", "3", "3.0", "3.1", "3.1.0", "1", "4", "", "x", "2%20", "02")
_FEW: Final = ("2", "3", "3.1")
_SCHEMA: Final = ("numpy", "pandas", "standard", "nested", "mixed")


def _asked(service: str, *versions: str) -> tuple[Case, ...]:
    return tuple(
        Case(
            service,
            f"swagger {version or 'of no version'}",
            get(f"/swagger.json?version={version}"),
        )
        for version in versions
    )


CASES: Final = (
    Case("plain", "swagger", get("/swagger.json")),
    *_asked("plain", *_VERSIONS),
    Case("plain", "swagger of two versions", get("/swagger.json?version=3&version=2")),
    Case("plain", "swagger with another key", get("/swagger.json?Version=3")),
    *(case for service in _SCHEMA for case in _asked(service, *_FEW)),
    Case("mixed", "swagger", get("/swagger.json")),
    Case("raw", "swagger", get("/swagger.json")),
    Case("overrides", "swagger", get("/swagger.json")),
    *_asked("overrides", *_FEW, "2.0", "3.0"),
    Case("override", "swagger", get("/swagger.json")),
    *_asked("override", *_FEW),
    *_asked("package", *_FEW),
)
