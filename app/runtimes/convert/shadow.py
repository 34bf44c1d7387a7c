"""A model that scikit-learn answers for while its ONNX form is compared with it on the side."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from app.runtimes.convert.comparison import distances
from app.runtimes.convert.domain import Domain
from app.runtimes.convert.form import Form
from app.tensors import Batch, Model, Prediction

_WAITING: Final = 8
"""Answers that wait to be compared; further ones are left out."""
_MAX_ROWS: Final = 1024
"""Of an answer that is compared."""
_PAUSE_S: Final = 0.005
"""Before each comparison: the answer leaves first, and comparing takes little of a processor."""


class Shadowed:
    """See `Model`. What is compared is only counted."""

    def __init__(self, reference: Model, form: Form, domain: Domain, tolerance: float) -> None:
        self._reference = reference
        self._form = form
        self._domain = domain
        self._tolerance = tolerance
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self._places = threading.Semaphore(_WAITING)
        self.signature = reference.signature
        self.is_steady = reference.is_steady
        self.equal = self.different = self.left_out = 0
        """Rows."""
        self.is_live = False
        """What is predicted is an answer; not a check at load."""

    def predict(self, batch: Batch, outputs: tuple[str, ...]) -> Prediction:
        """See `Model`."""
        prediction = self._reference.predict(batch, outputs)
        if not self.is_live:
            return prediction
        if batch.rows <= _MAX_ROWS and self._places.acquire(blocking=False):
            try:
                self._thread.submit(self._compare, batch, outputs, prediction)
            except RuntimeError:  # the interpreter is ending
                self._places.release()
        else:
            self.left_out += batch.rows
        return prediction

    @property
    def compared(self) -> int:
        """Rows, equal ones and others."""
        return self.equal + self.different

    def told(self) -> str:
        """What was counted, for people."""
        return f"{self.compared} rows compared, {self.different} differ, {self.left_out} left out"

    def counts(self) -> dict[str, int]:
        """The same by outcome."""
        return {"agrees": self.equal, "differs": self.different, "skipped": self.left_out}

    def _compare(self, batch: Batch, outputs: tuple[str, ...], wanted: Prediction) -> None:
        """In a thread of its own."""
        try:
            time.sleep(_PAUSE_S)
            if not self._domain.holds(batch):
                self.left_out += batch.rows
                return
            got = self._form.predict(batch, outputs)
            fits = [distances(wanted[name], got[name]) <= self._tolerance for name in outputs]
            equal = sum(all(row) for row in zip(*fits, strict=True))
            self.equal += equal
            self.different += batch.rows - equal
        except Exception:  # noqa: BLE001  # it must not raise where scikit-learn did not
            self.different += batch.rows
        finally:
            self._places.release()
