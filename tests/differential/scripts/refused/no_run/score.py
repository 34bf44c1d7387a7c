"""It has no run()."""


def init():
    pass
