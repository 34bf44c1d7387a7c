"""A plain script whose run() has more parameters than it is ever given."""


def init():
    pass


def run(data, threshold=0.5, *, names=("a", "b")):
    return [data, threshold, names]
