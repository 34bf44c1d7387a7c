"""The page for operators has the words of the messages, and the messages have those of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "app"
PAGE = (APP.parent / "docs/operations.md").read_text()
SECTION = PAGE.partition("## When Azure says no")[2]
ROWS = [row.split("|") for row in SECTION.splitlines() if row.startswith("| ")][1:]
WORDS = [(row[1].strip(), word) for row in ROWS for word in re.findall(r"`([^`]+)`", row[2])]


def said() -> str:
    """All texts of the code that asks Azure, with strings that go on in the next line joined."""
    files = [*(APP / "azure").glob("*.py"), *(APP / "registries/azureml").glob("*.py")]
    text = "\n".join(file.read_text() for file in files)
    return re.sub(r'"\n\s*f?"', "", text)


@pytest.mark.parametrize(("what", "word"), WORDS)
def test_a_message_in_the_page_is_one_that_is_told(what: str, word: str) -> None:
    held = {
        "{DATA_SCIENTIST}": '"AzureML Data Scientist"',
        "{BLOB_READER}": '"Storage Blob Data Reader"',
        "{place.name}": "workspace",
        "AADSTS{code}": "AADSTS...",
        "{self._deadline_s:.0f}": "10",
    }
    text = said()
    for name, value in held.items():
        text = text.replace(name, value)
    assert word in text


def test_the_commonest_failures_are_all_there() -> None:
    assert len(ROWS) >= 10
    for needed in (
        "403 on the workspace",
        "403 on the blob",
        "404",
        "DNS",
        "firewall",
        "throttled",
    ):
        assert needed in SECTION
