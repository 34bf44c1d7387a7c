"""It has no init()."""


def run(data):
    return data
