"""A run() that is a coroutine."""


def init():
    pass


async def run(data):
    return {"given": data}
