"""scikit-learn -> ONNX: `python -m app.runtimes.convert` converts one model, and compares the two.

It runs in a process of its own, since reading a pickle runs code and a conversion may take any
time and memory. `graph` makes the ONNX graph (`ensembles` and `bins` in double precision, of
`nodes`), `trial` compares it by the rows of `rows` and `edges`, which `walk` finds in the
estimator. What the server needs of it is light: `Report`, `form` and `domain`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

VERSION: Final = 1
"""Of what this folder does: a higher one has everything converted and compared anew."""
TOLERANCE: Final = 1e-6
"""How far numbers may differ, relative or absolute, whichever is looser; classes may not."""
GRAPH: Final = "model.onnx"
REPORT: Final = "report.json"
EXTRA: Final = ("skl2onnx", "onnx")
"""What the extra `accelerate` installs."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of converting one model."""

    reason: str = ""
    """Why the ONNX form may not be served; empty: it may."""
    rows: dict[str, int] = field(default_factory=dict)
    """What was compared: kind of row -> how many."""
    largest: float = 0.0
    """Difference between two numbers, relative or absolute, whichever is smaller."""
    before_s: float = 0.0
    """One row by scikit-learn."""
    after_s: float = 0.0
    """One row by the ONNX form."""
    domain: dict[str, Any] = field(default_factory=dict)
    """See `domain.Domain`."""
    left: str = ""
    """What goes to scikit-learn still, for people."""
    convert_s: float = 0.0
    """Seconds that all of it took."""

    @property
    def gain(self) -> float:
        """How many times as fast one row is answered."""
        return self.before_s / self.after_s if self.after_s else 0.0

    def told(self) -> str:
        """In one line, for people."""
        if self.reason:
            return f"no: {self.reason}"
        left = f"; {self.left} are left to scikit-learn" if self.left else ""
        return (
            f"yes: {sum(self.rows.values())} rows compared, largest difference {self.largest:.1g}, "
            f"one row {self.gain:.0f} times as fast{left}"
        )

    def write(self, folder: Path) -> None:
        """Into `folder`."""
        (folder / REPORT).write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Report:
        """What `write` wrote.

        Raises:
            OSError, ValueError, TypeError: it is not there, or broken.
        """
        return cls(**json.loads((folder / REPORT).read_bytes()))
