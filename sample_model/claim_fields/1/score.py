"""Dates, sums of money and plates in the text of a claim: data work without any model.

`{"data": TEXT}` -> `{"results": {"dates": [...], "amounts": [...], "plates": [...]}}`; a list of
texts gives a list. Needs nothing but Python.
"""

import json
import re
from datetime import date

DATE = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b|\b(\d{1,2})/(\d{1,2})/(\d{4})\b")
AMOUNT = re.compile(r"\$\s*(\d[\d,]*(?:\.\d\d)?)|\b(\d[\d,]*(?:\.\d\d)?)\s*(?:USD|dollars?)\b")
PLATE = re.compile(r"\b[A-Z]{2,3}[- ]\d{3,4}\b")


def init() -> None:
    """There is nothing to read."""


def run(raw_data: str) -> dict[str, object]:
    """What is found, in the order of the text."""
    data = json.loads(raw_data).get("data")
    if isinstance(data, list) and all(isinstance(text, str) for text in data):
        return {"results": [fields(text) for text in data]}
    if isinstance(data, str):
        return {"results": fields(data)}
    return {"error": "data must be a text, or a list of texts"}


def fields(text: str) -> dict[str, list[object]]:
    """Of one claim."""
    amounts = (one or other for one, other in AMOUNT.findall(text))
    return {
        "dates": [found for each in DATE.findall(text) if (found := as_date(each))],
        "amounts": [float(amount.replace(",", "")) for amount in amounts],
        "plates": [plate.replace(" ", "-") for plate in PLATE.findall(text)],
    }


def as_date(parts: tuple[str, ...]) -> str:
    """As ISO 8601 has it; empty: no day of the calendar."""
    numbers = [int(part) for part in parts if part]
    year, month, day = numbers if parts[0] else (numbers[2], numbers[0], numbers[1])
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return ""
