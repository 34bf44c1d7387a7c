"""What the process of a script sees of the service's environment: no secret, unless it is named."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from app.script.monitoring import PLACE

_OURS: Final = re.compile(r"(SERVE_|AML_SERVE_|AZUREML_ENTRY_SCRIPT$)")
_SECRET: Final = re.compile(
    r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|CONNECTION_?STRING|INSTRUMENTATION_?KEY|INSIGHTS_KEY"
    r"|(^|_)(API_?|ACCESS_?|ACCOUNT_?|STORAGE_?|PRIVATE_?|ADMIN_?|SAS_?)?KEYS?($|_)|(^|_)SAS($|_)"
    r"|(^|_)PWD_|_PWD$|PASS$|PASSPHRASE|_PAT$|(^|_)AUTH($|_)|(^|_)JWT($|_)|(^|_)SALT($|_)|COOKIE|CERT_?PASS"
    r"|IDENTITY_HEADER$",
    re.IGNORECASE,
)
"""In the name of a variable that holds one."""
_IN_VALUE: Final = re.compile(
    r"(AccountKey|SharedAccessKey|SharedAccessSignature|InstrumentationKey|Password|[?&]sig)\s*="
    r"|://[^/\s:@]*:[^/\s@]+@",
    re.IGNORECASE,
)
"""In the value of one, whatever it is called."""


def environment(
    of: Mapping[str, str], folder: Path, passed: Collection[str] = (), collector: str = ""
) -> dict[str, str]:
    """Of the process of the script in `folder`.

    Args:
        of: the service's own.
        passed: names of those that the operator gives it whatever they hold.
        collector: where its tables are collected; empty: nowhere.
    """
    kept = {
        name: value
        for name, value in of.items()
        if name in passed or not _is_kept_back(name, value)
    }
    return {
        **kept,
        "AML_APP_ROOT": str(folder),
        "AZUREML_MODEL_DIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",  # a file more in the folder gives it another digest
        "PYTHONUNBUFFERED": "1",
        **({PLACE: collector} if collector else {}),
    }


def _is_kept_back(name: str, value: str) -> bool:
    return bool(_OURS.match(name) or _SECRET.search(name) or _IN_VALUE.search(value))
