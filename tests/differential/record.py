"""`python -m tests.differential.record [SERVICE...]` asks the original and writes what it says."""

from __future__ import annotations

import sys

from tests.differential import golden
from tests.differential.services import SERVICES

if __name__ == "__main__":
    for name in sys.argv[1:] or SERVICES:
        golden.write(name, golden.ask(name))
