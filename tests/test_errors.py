"""`app.errors`: the tree, the words of a fault, and that docs/errors.md lists each code."""

import inspect
import re
from pathlib import Path

import pytest

from app import errors
from app.errors import Fault, MethodNotAllowed, ModelNotFound, SchemaMismatch, ServingError

DOCS = (Path(__file__).parents[1] / "docs" / "errors.md").read_text()
ROWS = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (.+?) \| (.+?) \|$", DOCS, re.MULTILINE)
CLASSES: list[type[ServingError]] = [
    one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, ServingError)
]


def test_the_docs_list_each_code_with_its_status_and_no_other() -> None:
    assert len(ROWS) == DOCS.count("\n| `")
    assert sorted((code, int(status)) for code, status, *_ in ROWS) == sorted(
        {(one.code, one.status) for one in CLASSES}
    )
    assert [status for _, status, *_ in ROWS] == sorted(status for _, status, *_ in ROWS)


def test_a_code_has_one_status_wherever_it_is() -> None:
    statuses = {(one.code, one.status) for one in CLASSES}
    assert len(statuses) == len({code for code, _ in statuses})


@pytest.mark.parametrize("one", CLASSES[1:])
def test_the_tree_in_the_docstring_has_each_class(one: type[ServingError]) -> None:
    assert errors.__doc__ is not None
    line = re.search(rf"^( *){one.__name__}  (.*)$", errors.__doc__, re.MULTILINE)
    assert line is not None
    assert len(line[1]) == 2 * (len(one.__mro__) - len(ServingError.__mro__))
    own = "code" in vars(one) or "status" in vars(one)
    assert (line[2].split() == [str(one.status), one.code]) == own


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(2, "income", "a number", "a string"),
         'row 2, column "income": expected a number, got a string'),
        (Fault(None, 0, "a number", "null"), "column 0: expected a number, got null"),
        (Fault(None, None, "4 values", "2"), "expected 4 values, got 2"),
        (Fault(0, None, "4 values", "2"), "row 0: expected 4 values, got 2"),
        (Fault(None, "a", "one", "none", "b"),
         'column "a": expected one, got none; did you mean "b"?'),
    ],
)  # fmt: skip
def test_a_fault_says_the_same_to_people_and_to_programs(fault: Fault, message: str) -> None:
    assert fault.message == message
    told = fault.as_dict()
    assert (told["row"], told["column"], told["message"]) == (fault.row, fault.column, message)
    assert ("suggestion" in told) == (fault.suggestion is not None)


def test_a_mismatch_holds_20_faults_and_tells_3() -> None:
    faults = [Fault(row, "a", "a number", "null") for row in range(30)]
    error = SchemaMismatch.of(faults)
    assert error.faults == tuple(faults[:20])
    assert error.message == "; ".join(f.message for f in faults[:3]) + " (and 27 more)"
    assert "more" not in SchemaMismatch.of(faults[:3]).message


def test_errors_carry_what_their_answer_needs() -> None:
    assert ModelNotFound("no model x", near=["y", "z"]).message.endswith("did you mean y or z?")
    assert MethodNotAllowed("PUT is not taken", allow="GET").allow == "GET"
    assert ServingError("wait", retry_after_s=2.5).retry_after_s == 2.5
    assert str(ServingError("words")) == "words"
