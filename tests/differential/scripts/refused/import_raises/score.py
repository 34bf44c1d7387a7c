"""It imports what is not there."""

import missing_module  # noqa: F401


def init():
    pass


def run(data):
    return data
