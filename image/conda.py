"""What pip is to install of a requirements or conda file: `python conda.py FILE` prints it.

The image has no conda. Of an environment file its `pip` section counts; other packages than
Python and pip are refused, since conda's names and contents may differ from pip's.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


def requirements(path: Path) -> Iterator[str]:
    """Lines for pip. Raises: ValueError: it names what pip cannot bring."""
    if path.suffix not in (".yml", ".yaml"):
        yield f"-r {path.name}"
        return
    refused = []
    for each in (yaml.safe_load(path.read_text("utf-8")) or {}).get("dependencies") or ():
        if isinstance(each, dict):
            yield from _of_pip(each)
        elif not re.match(r"(.*::)?(python|pip)\b(?!-)", str(each)):
            refused.append(str(each))
    if refused:
        raise ValueError(
            f"{path.name}: packages of conda are not installed: {', '.join(refused)}; "
            "name those of pip under `- pip:`"
        )


def _of_pip(section: dict[str, Any]) -> Iterator[str]:
    yield from (str(line) for line in section.get("pip") or ())


if __name__ == "__main__":
    try:
        sys.stdout.writelines(f"{line}\n" for line in requirements(Path(sys.argv[1])))
    except ValueError as error:
        sys.exit(str(error))
