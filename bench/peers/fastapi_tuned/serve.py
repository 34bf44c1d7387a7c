"""One model behind FastAPI, as fast as FastAPI lets it: no pydantic, no thread, no checks."""

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from bench.model import load, named

app = FastAPI()
predict = load(named())


def as_list(labels: Any) -> Any:
    """What orjson takes of an array of texts."""
    return labels.tolist()


@app.post("/predict")
async def score(request: Request) -> Response:
    """Score `{"data": rows}`."""
    rows = orjson.loads(await request.body())["data"]
    found = {"results": predict(rows)}
    answer = orjson.dumps(found, default=as_list, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(answer, media_type="application/json")
