"""Its run() takes whatever there is."""


def init():
    pass


def run(*data):
    return data
