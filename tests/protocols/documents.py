"""What makes a Swagger or OpenAPI document a valid one."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import pytest

VERSIONS = ("2", "3", "3.1")


def check(document: dict[str, Any], version: str) -> dict[str, Any]:
    """Its schemas, once it is found to be valid, with references that lead somewhere."""
    known = pytest.importorskip("schemathesis.specs.openapi.definitions")
    rules = {"2": known.SWAGGER_20, "3": known.OPENAPI_30, "3.1": known.OPENAPI_31}[version]
    assert [error.message for error in jsonschema_rs.iter_errors(rules, document)] == []
    schemas: dict[str, Any] = (
        document["definitions"] if version == "2" else document["components"]["schemas"]
    )
    place = "#/definitions/" if version == "2" else "#/components/schemas/"
    for reference in re.findall(r"'\$ref': '([^']*)'", str(document)):
        assert reference.removeprefix(place) in schemas
    if version == "3.1":
        assert all(map(jsonschema_rs.meta.is_valid, schemas.values()))
    return schemas


def fits(schemas: dict[str, Any], name: str, value: Any) -> bool:
    """Whether `value` is what OpenAPI 3.1 says under `name`."""
    whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
    return bool(jsonschema_rs.is_valid(whole, value))
