"""What a script's decorators declare of its input and output, as Swagger has it."""

from __future__ import annotations

import sys
from typing import Any

from .entry import Entry


def declared(entry: Entry) -> dict[str, Any]:
    """Of a decorated `run`: `input`, `output`, and the `versions` of Swagger that have words for
    them, by the functions that inference-schema offers for it (schema_util); else nothing.
    """
    if entry.kind != "schema":
        return {}
    schema_util: Any = sys.modules["inference_schema.schema_util"]
    return {
        "input": _plain(schema_util.get_input_schema(entry.run)),
        "output": _plain(schema_util.get_output_schema(entry.run)),
        "versions": _plain(schema_util.get_supported_versions(entry.run)),
    }


def _plain(schema: Any) -> Any:
    """A copy of its own: the functions give what they keep."""
    if isinstance(schema, dict):
        return {str(key): _plain(value) for key, value in schema.items()}
    if isinstance(schema, (list, tuple)):
        return [_plain(value) for value in schema]
    return schema
