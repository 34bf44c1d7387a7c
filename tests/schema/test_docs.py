"""docs/protocols.md: its examples decode with the signatures that it names."""

import re
from pathlib import Path

import orjson
import pytest

from app.schema import Schema
from app.tensors import Signature, TensorSpec

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "protocols.md").read_text()
EXAMPLES = re.findall(r"```json request (\w+) (single|batch)\n(.*?)\n```", PAGE, re.DOTALL)
OUT = (TensorSpec("label", "int64", (None,)), TensorSpec("probabilities", "float32", (None, 2)))
INPUTS = {
    "table": (
        TensorSpec("age", "int64", (None,)),
        TensorSpec("income", "float64", (None,)),
        TensorSpec("city", "string", (None,)),
    ),
    "features": (TensorSpec("x", "float32", (None, 4)),),
    "number": (TensorSpec("x", "float64", (None,)),),
    "text": (TensorSpec("x", "string", (None,)),),
    "tensors": (TensorSpec("ids", "int64", (None,)), TensorSpec("mask", "int8", (None, 2))),
    "whole": (TensorSpec("x", "float32", (2, 2)),),
}


@pytest.mark.parametrize(("signature", "form", "text"), EXAMPLES)
def test_an_example_is_read_as_the_page_says(signature: str, form: str, text: str) -> None:
    call = Schema(Signature(INPUTS[signature], OUT, result="label")).call(orjson.loads(text))
    assert call.batch.rows >= 1
    assert call.single == (form == "single")


def test_every_signature_has_an_example_and_is_introduced_before_it() -> None:
    assert {signature for signature, *_ in EXAMPLES} == INPUTS.keys()
    assert len(EXAMPLES) == PAGE.count("```json")
    for name in INPUTS:
        assert PAGE.index(f"signature `{name}`") < PAGE.index(f"```json request {name}")


def test_the_page_has_the_nine_rules_and_links_that_lead_somewhere() -> None:
    rules = PAGE.split("## Awkward values")[1].split("\n## ")[0]
    assert re.findall(r"^(\d)\. ", rules, re.MULTILINE) == [str(n) for n in range(1, 10)]
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (DOCS / target).is_file()
