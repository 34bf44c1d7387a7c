"""`aml-serve schema`: what it writes of a table is taken by the loader, and takes the table."""

from __future__ import annotations

import io
import json
import math
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from app.cli import main
from app.commands.authoring import record, table
from app.manifest import service
from app.schema import Schema
from app.schema.declared import declare
from app.tensors import Signature, TensorSpec
from tests import models

PEOPLE = models.PEOPLE
NOTHING = Signature((), (TensorSpec("label", "int64", (None,)),), result="label")


def command(*arguments: object) -> Result:
    done = CliRunner().invoke(main, ["schema", *map(str, arguments)])
    assert isinstance(done.exception, SystemExit | None), done.exc_info
    return done


@pytest.fixture
def people(tmp_path: Path) -> Path:
    PEOPLE.to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


def schema_of(text: str, folder: Path, *more: object) -> dict[str, Any]:
    (folder / "t.csv").write_text(text, "utf-8")
    done = command("--from", folder / "t.csv", "--out", folder / "out.json", "--force", *more)
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads((folder / "out.json").read_bytes())
    return told


def test_a_model_is_served_with_the_schema_of_its_table(people: Path, tmp_path: Path) -> None:
    done = command("--from", people, "--out", tmp_path, "--target", "is_member")
    models.save_sklearn(tmp_path, models.frame_classifier())

    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'schema.json'}\n")
    signature = models.load(tmp_path).signature
    assert [(s.name, s.dtype) for s in signature.inputs] == [
        ("city", "string"), ("age", "int64"), ("income", "float64")
    ]  # fmt: skip
    examples = json.loads((tmp_path / "schema.json").read_bytes())["examples"]
    assert examples == PEOPLE.drop(columns="is_member").to_dict("records")
    assert len(models.predict(models.load(tmp_path), examples, "label")["label"]) == 4


def test_the_form_of_2018_has_no_pickle_and_says_the_same(people: Path, tmp_path: Path) -> None:
    given = ("--from", people, "--out", tmp_path, "--target", "is_member")
    done = command(*given, "--form", "service")
    models.save_sklearn(tmp_path, models.frame_classifier())

    assert done.stdout == f"{tmp_path / service.FILE}\n"
    item = json.loads((tmp_path / service.FILE).read_bytes())["input"]["input_df"]
    assert (item["type"], item["internal"]) == (3, "")
    signature = models.load(tmp_path).signature
    assert signature.input_names == ("input_df",)
    assert [s.name for s in signature.inputs] == ["city", "age", "income"]
    assert Schema(signature).call({"input_df": item["swagger"]["example"]}).batch.rows == 4


@pytest.mark.parametrize(
    ("cells", "fragment"),
    [
        (["1", "2"], {"type": "integer"}),
        (["1", ""], {"type": ["number", "null"]}),
        (["1.5", "2"], {"type": "number"}),
        (["", "NaN"], {"type": ["number", "null"]}),
        (["1.5", "inf"], {"type": ["number", "null"]}),
        (["18446744073709551615", "1"], {"type": "number"}),
        (["True", "False"], {"type": "boolean"}),
        (["True", ""], {"type": ["boolean", "null"]}),
        (["Bern", ""], {"type": ["string", "null"]}),
        (["2020-01-01", "x"], {"type": "string"}),
        (["a", "b"] * 10, {"type": "string", "enum": ["a", "b"]}),
        (["a", ""] * 10, {"type": ["string", "null"], "enum": ["a", None]}),
        (["a", "b"] * 9 + ["c"], {"type": "string"}),
        (["1", "2"] * 10, {"type": "integer"}),
    ],
)
def test_a_column_is_what_its_cells_are(
    tmp_path: Path, cells: list[str], fragment: dict[str, Any]
) -> None:
    told = schema_of("\n".join(["x,y", *(f"{cell},1" for cell in cells)]), tmp_path)

    assert list(told["properties"]) == told["required"] == ["x", "y"]
    assert told["properties"]["x"] == fragment
    assert len(told["examples"]) == min(5, len(cells))
    assert Schema(declare(NOTHING, told)).decode(told["examples"])[0].rows > 1


def test_times_and_numbers_of_other_kinds_come_from_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"at": pd.to_datetime(["2020-01-01T10:00:00.123Z", None])})
    frame["size"] = pd.Categorical(["S", "M"])
    frame["count"] = pd.array([1, None], "Int64")
    frame["born"] = [date(1970, 1, 2), None]
    frame["paid"] = [Decimal("1.5"), Decimal("2")]
    monkeypatch.setattr(pd, "read_parquet", lambda file: frame)
    (tmp_path / "t.parquet").touch()
    columns = table.read(tmp_path / "t.parquet")

    assert [c.kind for c in columns] == ["date-time", "string", "integer", "string", "number"]
    values = [list(c.values) for c in columns[1:]]
    assert values == [["S", "M"], [1, None], ["1970-01-02", None], [1.5, 2.0]]
    told = record.json_schema(columns)
    assert told["properties"]["at"] == {"type": ["string", "null"], "format": "date-time"}
    assert Schema(declare(NOTHING, told)).decode(told["examples"])[0].rows == 2


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    done = command("--from", tmp_path / "t.parquet", "--out", tmp_path)

    assert done.exit_code == 2
    assert "pip install pyarrow, or write the table as CSV" in done.stderr


@pytest.mark.parametrize(
    ("content", "arguments", "code", "told"),
    [
        (b"a,b\n", [], 2, "has no rows"),
        (b"", [], 2, "cannot be read as CSV: No columns"),
        (b"a,b\n\xff,1\n", [], 2, "cannot be read as CSV"),
        (b"a,b\n1,2,3\n1,2,3,4\n", [], 2, "cannot be read as CSV"),
        (b"age,b\n1,2\n", ["--target", "agee"], 2, "did you mean age?"),
        (b"age,b\n1,2\n", ["--target", "x"], 2, "it has age, b"),
        (b"age\n1\n", ["--target", "age"], 2, "no column but the target"),
        (b"age\n1\n", ["--form", "xml"], 2, "xml"),
        (None, [], 1, "No such file"),
    ],
)
def test_a_fault_is_one_line(
    tmp_path: Path, content: bytes | None, arguments: list[str], code: int, told: str
) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    done = command("--from", tmp_path / "t.csv", "--out", tmp_path, *arguments)

    assert (done.exit_code, done.stdout) == (code, "")
    assert told in done.stderr
    assert not (tmp_path / "schema.json").exists()


def test_what_is_there_is_written_over_only_by_force(people: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text("mine")
    refused = command("--from", people, "--out", tmp_path)
    assert refused.exit_code == 2
    assert "is there already; --force writes over it" in refused.stderr
    assert (tmp_path / "schema.json").read_text() == "mine"

    assert command("--from", people, "--out", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "schema.json").read_text() != "mine"


def test_a_column_that_json_cannot_hold_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = [np.array(["a"]), np.array(["b", "c"])]  # as pyarrow tells lists
    monkeypatch.setattr(pd, "read_parquet", lambda file: pd.DataFrame({"tags": tags}))
    (tmp_path / "t.parquet").touch()

    told = command("--from", tmp_path / "t.parquet", "--out", tmp_path).stderr
    assert 'the column "tags" holds lists;' in told


CELLS = st.sampled_from(
    [
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.booleans(),
        st.text(max_size=4),
        st.dates().map(str),
        st.sampled_from(["NA", "1e5", "007", "-0.0", "null", "[1]", "{}", " 1 ", "inf", "a,b"]),
        st.none(),
    ]
)
NAMES = st.sampled_from(["a", "b", "data", "columns", "index", "ä ö", "$ref", "type", "1", "x.1"])


def columns_of(rows: int) -> Iterator[st.SearchStrategy[list[Any]]]:
    for mixed in (CELLS.flatmap(lambda kind: kind | st.none()), CELLS.flatmap(lambda kind: kind)):
        yield st.lists(mixed, min_size=rows, max_size=rows)
    yield CELLS.flatmap(lambda kind: st.lists(kind, min_size=rows, max_size=rows))


FRAMES = st.integers(1, 25).flatmap(
    lambda rows: st.dictionaries(NAMES, st.one_of(*columns_of(rows)), min_size=1, max_size=4)
)


@settings(max_examples=150, deadline=None)
@given(FRAMES)
def test_what_is_written_of_any_table_takes_its_own_rows(
    tmp_path_factory: pytest.TempPathFactory, cells: dict[str, list[Any]]
) -> None:
    folder = tmp_path_factory.mktemp("table", numbered=True)
    text = io.StringIO()
    pd.DataFrame(cells, dtype=object).to_csv(text, index=False)
    (folder / "t.csv").write_text(text.getvalue(), "utf-8", newline="")
    try:
        columns = table.read(folder / "t.csv")
    except ValueError as error:  # a blank line for the only column's only null is no row
        assert "has no rows" in str(error)  # noqa: PT017
        return
    told = record.json_schema(columns)
    rows = [{c.name: c.values[i] for c in columns} for i in range(len(columns[0].values))]
    assert not any(isinstance(v, float) and not math.isfinite(v) for r in rows for v in r.values())
    assert Schema(declare(NOTHING, told)).decode(rows)[0].rows == len(rows)

    (folder / service.FILE).write_text(json.dumps(record.service_form(columns)), "utf-8")
    older = service.read(folder / service.FILE).record
    assert older is not None
    assert list(older["properties"]) == list(told["properties"])
    Schema(declare(NOTHING, older)).decode(older["examples"])
