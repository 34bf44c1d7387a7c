"""A stand-in for the API server of a cluster: keeps what it is given, and runs nothing of it.

As much of the API as helm needs to install, upgrade and roll back: discovery, and objects that are
created, read, listed by labels, replaced, merged and deleted.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from tests.chart import protobuf

Object = dict[str, Any]

KINDS: Final = {
    "v1": {
        "Namespace": "namespaces",
        "Secret": "secrets",
        "ConfigMap": "configmaps",
        "Service": "services",
        "ServiceAccount": "serviceaccounts",
        "PersistentVolumeClaim": "persistentvolumeclaims",
        "Pod": "pods",
    },
    "apps/v1": {"Deployment": "deployments"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "networking.k8s.io/v1": {"Ingress": "ingresses", "NetworkPolicy": "networkpolicies"},
    "gateway.networking.k8s.io/v1": {"HTTPRoute": "httproutes"},
    "monitoring.coreos.com/v1": {
        "ServiceMonitor": "servicemonitors",
        "PrometheusRule": "prometheusrules",
    },
}
"""apiVersion -> kind -> its name in paths."""


@dataclass
class Cluster:
    """What it holds, by path; `home` has the kubeconfig that leads here."""

    home: Path
    objects: dict[str, Object] = field(default_factory=dict)

    def secret(self, namespace: str, name: str) -> dict[str, str]:
        """Its entries, decoded."""
        data = self.objects[f"/api/v1/namespaces/{namespace}/secrets/{name}"]["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def put_secret(self, namespace: str, name: str, **data: str) -> None:
        """As an operator changes it by hand."""
        held = self.objects[f"/api/v1/namespaces/{namespace}/secrets/{name}"]
        held["data"] |= {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}


@contextmanager
def running(home: Path) -> Iterator[Cluster]:
    cluster = Cluster(home)
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    (home / "config").write_text(_kubeconfig(server.server_address[1]))
    (home / "config").chmod(0o600)  # helm warns of one that others can read
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _kubeconfig(port: int) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [
            {"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("west", "east")
        ],
        "current-context": "west",
    }
    return json.dumps(document)


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, query = self._asked()
        held = self.cluster.objects
        if path == "/openapi/v2":  # as protobuf, of which nothing is an empty document
            self._send(200, b"", "application/octet-stream")
        elif path in held:
            self._answer(200, held[path])
        elif (told := _discovery(path)) is not None:
            self._answer(200, told)
        elif path.rpartition("/")[2] in _plurals():
            self._answer(200, _list(path, held, _wanted(query)))
        else:
            self._missing(path)

    def do_POST(self) -> None:
        path, _ = self._asked()
        given = self._body()
        place = f"{path}/{given['metadata']['name']}"
        if place in self.cluster.objects:
            self._status(409, "AlreadyExists", place)
            return
        self.cluster.objects[place] = _kept(given, path)
        self._answer(201, self.cluster.objects[place])

    def do_PUT(self) -> None:
        path, _ = self._asked()
        self.cluster.objects[path] = _kept(self._body(), path.rpartition("/")[0])
        self._answer(200, self.cluster.objects[path])

    def do_PATCH(self) -> None:
        path, _ = self._asked()
        patch = self._body()
        if path not in self.cluster.objects:
            self._missing(path)
            return
        merged = _merged(self.cluster.objects[path], patch)
        self.cluster.objects[path] = _kept(merged, path.rpartition("/")[0])
        self._answer(200, self.cluster.objects[path])

    def do_DELETE(self) -> None:
        path, _ = self._asked()
        self._body()
        self._answer(200, self.cluster.objects.pop(path, {"kind": "Status", "apiVersion": "v1"}))

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        return parts.path.rstrip("/"), parse_qs(parts.query)

    def _body(self) -> Object:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if text.startswith(protobuf.MAGIC):
            return protobuf.secret(text)
        document: Object = json.loads(text) if text else {}
        return document

    def _missing(self, path: str) -> None:
        self._status(404, "NotFound", path)

    def _status(self, code: int, reason: str, path: str) -> None:
        told = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
        self._answer(code, {**told, "reason": reason, "message": f"{path}: {reason}"})

    def _answer(self, code: int, document: Object) -> None:
        self._send(code, json.dumps(document).encode(), "application/json")

    def _send(self, code: int, body: bytes, content_type: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def _wanted(query: dict[str, list[str]]) -> dict[str, str]:
    terms = ",".join(query.get("labelSelector", [])).split(",")
    return dict(term.split("=", 1) for term in terms if term)


def _plurals() -> set[str]:
    return {plural for each in KINDS.values() for plural in each.values()}


def _discovery(path: str) -> Object | None:
    """What the server can do."""
    if path == "/version":
        return {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups()}
    version = path.removeprefix("/apis/").removeprefix("/api/")
    if version in KINDS:
        resources = [_resource(kind, name) for kind, name in KINDS[version].items()]
        return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
    return None


def _groups() -> list[Object]:
    found = []
    for version in KINDS:
        group, slash, short = version.partition("/")
        if slash:
            told = {"groupVersion": version, "version": short}
            found.append({"name": group, "versions": [told], "preferredVersion": told})
    return found


def _resource(kind: str, name: str) -> Object:
    verbs = ["create", "delete", "get", "list", "patch", "update"]
    return {"name": name, "kind": kind, "namespaced": kind != "Namespace", "verbs": verbs}


def _list(path: str, held: dict[str, Object], labels: dict[str, str]) -> Object:
    items = [
        each
        for place, each in held.items()
        if place.rpartition("/")[0] == path
        and labels.items() <= each["metadata"].get("labels", {}).items()
    ]
    version, kind = _kind(path)
    return {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": items}


def _kind(path: str) -> tuple[str, str]:
    """apiVersion and kind of the collection at `path`."""
    parts = path.strip("/").split("/")
    version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
    return version, next(k for k, name in KINDS[version].items() if name == parts[-1])


def _kept(given: Object, path: str) -> Object:
    """With what the server adds; a Secret's `stringData` becomes data."""
    version, kind = _kind(path)
    parts = path.split("/")
    place = {"namespace": parts[-2]} if "namespaces" in parts[:-1] else {}
    kept = {**given, "apiVersion": version, "kind": kind}
    kept["metadata"] = {**given["metadata"], **place, "uid": path, "resourceVersion": "1"}
    texts = kept.pop("stringData", {})
    if texts:
        encoded = {k: base64.b64encode(v.encode()).decode() for k, v in texts.items()}
        kept["data"] = {**kept.get("data", {}), **encoded}
    return kept


def _merged(held: Any, patch: Any) -> Any:
    """RFC 7386; of strategic patches the directives are left out, for helm sends whole lists."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(held) if isinstance(held, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif not key.startswith("$"):
            merged[key] = _merged(merged.get(key), value)
    return merged
