"""What a script may return or raise, by name."""

import decimal
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from azureml_inference_server_http.api.aml_response import AMLResponse

HERE = Path(__file__).parent


def raises(error):
    raise error


def environment():
    root = os.environ["AML_APP_ROOT"]
    return {
        "root": os.path.relpath(root, HERE),
        "model": os.path.relpath(os.environ["AZUREML_MODEL_DIR"], HERE),
        "files": sorted(os.listdir(os.environ["AZUREML_MODEL_DIR"])),
        "cwd": os.path.relpath(os.getcwd(), HERE),
    }


def module():
    from inspect import currentframe

    names = currentframe().f_back.f_globals
    return {"name": names["__name__"], "file": os.path.relpath(names["__file__"], HERE)}


def stream(*parts, status=200, **headers):
    return AMLResponse((part for part in parts), status, headers)


def broken_stream():
    def parts():
        yield "one"
        raise RuntimeError("in the middle")

    return AMLResponse(parts(), 200)


def swallowing():
    try:
        time.sleep(5)
    except Exception as error:
        return {"caught": type(error).__name__}


def busy():
    until = time.monotonic() + 5
    while time.monotonic() < until:
        pass


def prints():
    print("x" * 1_000_000)
    sys.stdout.write("written\n")
    print("to stderr", file=sys.stderr)
    return "printed"


def thread():
    done = []
    worker = threading.Thread(target=lambda: done.append(1))
    worker.start()
    worker.join()
    return done


def deep():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    return nested


def itself():
    me = []
    me.append(me)
    return me


ANSWERS = {
    "none": lambda: None,
    "text": lambda: "plain text",
    "json text": lambda: '{"label": "a", "probability": 0.5}',
    "empty text": lambda: "",
    "number": lambda: 3,
    "float": lambda: 1e300 * 10,
    "true": lambda: True,
    "list": lambda: [1, 2.5, None, "x", [True]],
    "empty list": lambda: [],
    "tuple": lambda: (1, (2, 3)),
    "object": lambda: {"b": 1, "a": {"c": [1, 2]}},
    "number keys": lambda: {1: "a", None: "b", False: "c", 1.5: "d"},
    "tuple keys": lambda: {(1, 2): "a"},
    "nan": lambda: [float("nan"), float("inf"), -float("inf")],
    "unicode": lambda: {"größe": "\u2603 \U0001f600"},
    "surrogate": lambda: "\ud800",
    "large number": lambda: 2**70,
    "numpy float64": lambda: np.float64(0.1),
    "numpy float32": lambda: np.float32(0.1),
    "numpy int64": lambda: np.int64(3),
    "numpy array": lambda: np.array([1, 2]),
    "set": lambda: {1},
    "bytes": lambda: b"bytes",
    "decimal": lambda: decimal.Decimal("1.5"),
    "generator": lambda: (n for n in range(3)),
    "itself": itself,
    "deep": deep,
    "megabyte": lambda: "y" * 1_000_000,
    "response text": lambda: AMLResponse("hello", 200),
    "response bytes": lambda: AMLResponse(b"\x00\xff", 200, {"Content-Type": "image/png"}),
    "response none": lambda: AMLResponse(None, 200),
    "response json": lambda: AMLResponse({"a": [1, "\u00fc"]}, 201, {"x-made": "yes"}, True),
    "response json text": lambda: AMLResponse('{"a": 1}', 200, {}, json_str=True),
    "response dict": lambda: AMLResponse({"a": 1, "b": 2}, 200),
    "response list": lambda: AMLResponse(["a", "b"], 200),
    "response number": lambda: AMLResponse(3, 200),
    "response headers": lambda: AMLResponse(
        "<p>", 200, {"Content-Type": "text/html", "X-Several": "one, two,three", "x-Case": "Kept"}
    ),
    "response own header": lambda: AMLResponse("x", 200, {"x-ms-run-function-failed": "Maybe"}),
    "response own id": lambda: AMLResponse("x", 200, {"x-request-id": "of the script"}),
    "response header number": lambda: AMLResponse("x", 200, {"x-count": 3}),
    "response lower type": lambda: AMLResponse("x", 200, {"content-type": "text/csv"}),
    "response 204": lambda: AMLResponse("", 204),
    "response 304": lambda: AMLResponse("", 304),
    "response 400": lambda: AMLResponse({"error": "yours"}, 400, json_str=True),
    "response 404": lambda: AMLResponse("not here", 404),
    "response 500": lambda: AMLResponse("own failure", 500),
    "response 503": lambda: AMLResponse("later", 503, {"Retry-After": "3"}),
    "response 599": lambda: AMLResponse("odd", 599),
    "response failed": lambda: AMLResponse("marked", 200, {}, False, True),
    "response status text": lambda: AMLResponse("worded", "202 Taken"),
    "stream text": lambda: stream("one ", "two ", "\u00fc"),
    "stream bytes": lambda: stream(b"\x00", b"\xff", b""),
    "stream events": lambda: stream(
        *("data: 1\n\n", "data: 2\n\n"), **{"Content-Type": "text/event-stream"}
    ),
    "stream nothing": lambda: stream(),
    "stream 500": lambda: stream("no", status=500),
    "stream broken": broken_stream,
    "raise": lambda: raises(ValueError("secret of the script")),
    "raise os error": lambda: raises(FileNotFoundError("/secret")),
    "raise timeout": lambda: raises(TimeoutError("own")),
    "raise base": lambda: raises(type("Odd", (BaseException,), {})("odd")),
    "exit": lambda: sys.exit(1),
    "exit 0": lambda: sys.exit(0),
    "interrupt": lambda: raises(KeyboardInterrupt()),
    "kill": lambda: os._exit(9),
    "assert": lambda: raises(AssertionError()),
    "sleep": lambda: time.sleep(5),
    "nap": lambda: time.sleep(0.02),
    "busy": busy,
    "swallow": swallowing,
    "print": prints,
    "thread": thread,
    "environment": environment,
    "module": module,
}
