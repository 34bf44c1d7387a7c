"""A script of another name in a folder below the root, which imports from the source folder."""

import os

import beside


def init():
    pass


def run(data):
    return {"word": beside.WORD, "name": os.environ["SERVICE_NAME"], "given": data}
