"""Tells all that a raw request is; `?answer=` chooses what it answers instead."""

import json

from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse


def init():
    pass


def told(request):
    return {
        "method": request.method, "path": request.path, "full_path": request.full_path,
        "url": request.url, "base_url": request.base_url, "host": request.host,
        "query": request.query_string.decode(), "scheme": request.scheme,
        "args": request.args.to_dict(flat=False), "form": request.form.to_dict(flat=False),
        "values": request.values.to_dict(flat=False),
        "files": {n: [f.filename, f.content_type, f.read().decode()]
                  for n, f in request.files.items()},
        "data": repr(request.data), "get_data": repr(request.get_data()),
        "is_json": request.is_json, "json": request.get_json(silent=True),
        "content_type": request.content_type, "mimetype": request.mimetype,
        "mimetype_params": request.mimetype_params, "content_length": request.content_length,
        "headers": sorted(map(list, request.headers.items())), "cookies": dict(request.cookies),
        "header": request.headers.get("X-OWN", "none"), "remote": request.remote_addr,
        "accept": str(request.accept_mimetypes), "authorization": str(request.authorization),
    }  # fmt: skip


def parts():
    for number in range(3):
        yield f"part {number}\n"


ANSWERS = {
    "text": lambda request: AMLResponse(request.get_data(as_text=True), 200),
    "json": lambda request: AMLResponse(json.dumps(request.json), 200),
    "object": lambda request: {"body": request.get_json(force=True)},
    "none": lambda request: None,
    "teapot": lambda request: AMLResponse("short and stout", 418, {"X-Pot": "tea"}),
    "stream": lambda request: AMLResponse(parts(), 200, {"Content-Type": "text/plain"}),
    "raise": lambda request: {}["missing"],
    "missing": lambda request: request.args["missing"],
}


@rawhttp
def run(request):
    return ANSWERS.get(request.args.get("answer"), told)(request)
