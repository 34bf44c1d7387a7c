"""Its run() takes nothing."""


def init():
    pass


def run():
    return 1
