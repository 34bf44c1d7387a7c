"""What FastAPI's routes answer when they fail: the error envelope of the scoring family."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app.errors import BadRequest, MethodNotAllowed, NotFound, ServingError
from app.ids import IdSource
from app.protocols.score import refusal
from app.telemetry import Trace


def answer_errors(app: FastAPI, ids: IdSource) -> None:
    """From now on; scoring is not among its routes, and does so itself."""

    def answered(request: Request, error: ServingError) -> Response:
        headers = dict(request.headers.raw)
        given = ids.of(headers)
        trace = Trace(request.method)
        trace.request_id = given.request_id.decode("latin-1")
        reply = refusal(error, trace, headers)
        response = Response(reply.body if isinstance(reply.body, bytes) else b"", reply.status)
        length = (b"content-length", b"%d" % len(response.body))
        response.raw_headers = [*reply.headers, *given.headers(), length]
        return response

    @app.exception_handler(ServingError)
    async def deliberate(request: Request, error: ServingError) -> Response:
        return answered(request, error)

    @app.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: RequestValidationError) -> Response:
        places = {".".join(map(str, fault["loc"])): fault["msg"] for fault in error.errors()}
        told = "; ".join(f"{place}: {said}" for place, said in list(places.items())[:5])
        return answered(request, BadRequest(f"not what this route takes: {told}"))

    @app.exception_handler(HTTPException)
    async def of_routing(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            message = f"{request.method} is not taken here"
            stated = (error.headers or {}).get("Allow", "GET")
            allow = stated.replace("GET", "GET, HEAD")  # the front answers HEAD as it does GET
            return answered(request, MethodNotAllowed(message, allow=allow))
        return answered(request, NotFound("no such route; see /docs"))

    @app.exception_handler(Exception)
    async def bug(request: Request, _: Exception) -> Response:  # the front logs its traceback
        return answered(request, ServingError("an error of the server; its log has it"))
