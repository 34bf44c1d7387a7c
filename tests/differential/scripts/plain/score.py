"""Answers by what the body asks for under "answer"; tells what it was given otherwise."""

import json

from answers import ANSWERS

calls = 0


def init():
    global calls
    calls = 0


def run(raw_data):
    try:
        asked = json.loads(raw_data)
    except ValueError:
        return {"given": raw_data, "type": type(raw_data).__name__}
    if isinstance(asked, dict) and asked.get("answer") in ANSWERS:
        return ANSWERS[asked["answer"]]()
    return {"given": raw_data}
