"""The scripts that are compared, each as a service: a folder and its server's environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SCRIPTS: Final = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Service:
    """One script behind one server; `variables` come on top of what names script and model."""

    name: str
    folder: str = ""
    entry: str = "score.py"
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The folder that AML_APP_ROOT names."""
        return SCRIPTS / (self.folder or self.name)

    @property
    def environment(self) -> dict[str, str]:
        """What a container of this script has set."""
        return {
            "AML_APP_ROOT": str(self.root),
            "AZUREML_ENTRY_SCRIPT": self.entry,
            "AZUREML_MODEL_DIR": str(SCRIPTS / "plain/model"),
            **self.variables,
        }


_ALL: Final = (
    Service("plain"),
    Service("limited", folder="plain", variables={"SCORING_TIMEOUT_MS": "300"}),
    Service(
        "cors",
        folder="plain",
        variables={"AML_CORS_ORIGINS": "https://one.example, https://two.example"},
    ),
    Service("cors_any", folder="plain", variables={"AML_CORS_ORIGINS": "*"}),
    Service("headers"),
    Service("defaults"),
    Service("numpy"),
    Service("pandas"),
    Service("standard"),
    Service("nested"),
    Service("mixed"),
    Service("raw"),
    Service("asynchronous"),
    Service("overrides"),
    Service("override"),
    Service(
        "package",
        entry="code/entry.py",
        variables={
            "AZUREML_SOURCE_DIRECTORY": "source",
            "SERVICE_NAME": "a service",
            "SERVICE_VERSION": "7.1",
            "SERVICE_PATH_PREFIX": "/api/v1/",
        },
    ),
)
SERVICES: Final[Mapping[str, Service]] = {service.name: service for service in _ALL}


def _refused(name: str, **variables: str) -> Service:
    return Service(f"refused/{name}", variables=variables)


# Scripts that no server can serve.
REFUSED: Final = (
    *(_refused(path.name) for path in sorted((SCRIPTS / "refused").iterdir())),
    Service("plain", variables={"SCORING_TIMEOUT_MS": "soon"}),
)
