"""/docs, which needs nothing from the internet and lists the models to callers with a key."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server import CLAIM, Server, serving

STUB = """
let given, downloads = [];
function SwaggerUIBundle(options) { given = options; }
%s
const plugin = given.plugins[0]();
const system = {specActions: {download: (url) => downloads.push(url)}};
const authorize = plugin.statePlugins.auth.wrapActions.authorize(() => "done", system);
const ask = (loadSpec) => given.requestInterceptor({headers: {}, loadSpec}).headers;
const before = ask(true);
authorize({bearer: {value: "KEY"}});
console.log(JSON.stringify({before, downloads, spec: ask(true), call: ask(undefined)}));
"""


def test_the_page_refers_to_local_assets_only_and_all_are_there(samples: Server) -> None:
    page = samples.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    referred = re.findall(r'(?:src|href|url)\s*[=:]\s*"([^"]+)"', page.text)
    assert len(referred) == 4
    for link in referred:
        assert "//" not in link
        asset = samples.get(f"/{link}")
        assert (asset.status_code, len(asset.content) > 100) == (200, True)


def test_the_page_is_open_without_a_key() -> None:
    with serving(SERVE_API_KEYS="one", SERVE_MODELS=CLAIM) as server:
        page = server.get("/docs")
        assert page.status_code == 200
        assert CLAIM not in page.text
        assert server.get("/docs/assets/swagger-ui-bundle.js").status_code == 200


def test_after_authorize_the_page_reads_the_document_with_the_key(
    samples: Server, tmp_path: Path
) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("needs node")
    script = re.findall(r"<script>(.*?)</script>", samples.get("/docs").text, re.DOTALL)[-1]
    (tmp_path / "page.js").write_text(STUB % script)
    done = subprocess.run([node, str(tmp_path / "page.js")], capture_output=True, timeout=30)
    assert json.loads(done.stdout) == {
        "before": {},
        "downloads": ["openapi.json"],
        "spec": {"x-api-key": "KEY"},
        "call": {},
    }


@pytest.mark.parametrize(
    "path", ["/docs/assets/%2e%2e/__init__.py", "/docs/assets/", "/docs/assets/none.js"]
)
def test_nothing_but_the_assets_is_given_away(samples: Server, path: str) -> None:
    assert samples.get(path).status_code == 404
