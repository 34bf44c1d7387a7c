"""The table of values in the chart's README, made of the comments in values.yaml.

`python -m charts.readme` writes it, and exits 1 when it was not as it should be (`make chart`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

CHART: Final = Path(__file__).parent / "aml-serve"
README: Final = CHART / "README.md"
BEGIN, END = "<!-- values: made by charts/readme.py -->\n", "<!-- end of values -->"
MOST: Final = 50
"""Characters of a default that is shown; a longer one is looked up."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value, or a group of them, which has no default of its own."""

    name: str
    default: str | None
    comment: str


def values(text: str) -> list[Value]:
    """All of values.yaml, in its order."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(document, yaml.MappingNode)
    return list(_values(document, text.splitlines(), ""))


def _values(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Value]:
    for key, value in node.value:
        name = prefix + key.value
        comment = _comment(lines, key.start_mark)
        if isinstance(value, yaml.MappingNode) and _is_group(value, lines):
            yield from [Value(name, None, comment)] if comment else []
            yield from _values(value, lines, f"{name}.")
        else:
            yield Value(name, _default(value), comment)


def _comment(lines: list[str], key: yaml.Mark) -> str:
    """The lines above a key that are a comment, as deep as the key is."""
    start, found = " " * key.column + "# ", []
    line = key.line - 1
    while line >= 0 and lines[line].startswith(start):
        found.append(lines[line].removeprefix(start))
        line -= 1
    return " ".join(reversed(found))


def _is_group(node: yaml.MappingNode, lines: list[str]) -> bool:
    """Whether values inside have comments of their own."""
    inside = lines[node.start_mark.line : node.end_mark.line]
    depth = node.start_mark.column
    is_commented = any(line.lstrip().startswith("#") and _depth(line) >= depth for line in inside)
    first = lines[node.start_mark.line - 1]  # above the first key
    return not node.flow_style and (is_commented or (_depth(first) == depth and "#" in first))


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _default(node: yaml.Node) -> str:
    text = yaml.serialize(node, width=1000).removesuffix("...\n").strip()
    flow = node.start_mark.buffer
    if isinstance(node, yaml.CollectionNode) and flow is not None:
        text = flow[node.start_mark.pointer : node.end_mark.pointer].strip()
    is_short = len(text) <= MOST and "\n" not in text
    return f"`{text}`" if is_short else "see values.yaml"


def table(text: str) -> str:
    """In Markdown."""
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for each in values(text):
        meaning = each.comment.replace("|", "\\|")
        if each.default is None:
            rows.append(f"| **`{each.name}`** | | {meaning} |")
        else:
            rows.append(f"| `{each.name}` | {each.default} | {meaning} |")
    return "\n".join(rows) + "\n"


def page(readme: str, text: str) -> str:
    """The README with the table as it should be."""
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, "README.md has no place for the table"
    return f"{before}{BEGIN}{table(text)}{END}{after}"


def main() -> None:
    """Write the README anew."""
    old = README.read_text()
    new = page(old, (CHART / "values.yaml").read_text())
    if new != old:
        README.write_text(new)
        sys.exit("charts/aml-serve/README.md was out of date and is written anew")


if __name__ == "__main__":
    main()
