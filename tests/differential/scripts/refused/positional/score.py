"""Its run() does not take its parameter by name."""


def init():
    pass


def run(data, /):
    return data
