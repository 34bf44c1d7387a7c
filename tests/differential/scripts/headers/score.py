"""Tells the headers that it was given."""


def init():
    pass


def run(text, request_headers):
    shown = {k: v for k, v in sorted(request_headers.items()) if k not in ("X-Forwarded-For",)}
    return {"text": text, "type": type(request_headers).__name__, "headers": shown}
