"""What the container's HEALTHCHECK asks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.web.alive import is_alive
from tests.server import CLAIM, ROOT, serving

NOT_HTTP = b"SSH-2.0-OpenSSH\r\n"


def test_a_server_that_answers_is_alive_also_where_a_proxy_is_set() -> None:
    nowhere = "http://127.0.0.1:1"
    with serving(SERVE_MODELS=CLAIM) as server:
        settings = {"SERVE_PORT": str(server.port), "http_proxy": nowhere, "HTTP_PROXY": nowhere}
        done = subprocess.run(
            [sys.executable, "-m", "app.web.alive"], cwd=ROOT, env={**os.environ, **settings}
        )
        assert done.returncode == 0
        assert is_alive({"SERVE_PORT": str(server.port), "SERVE_HOST": "127.0.0.1"})


def test_where_nobody_listens_nothing_is_alive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    assert not is_alive({"SERVE_PORT": port})


def test_what_does_not_speak_http_is_not_alive() -> None:
    def answer(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            connection.sendall(NOT_HTTP)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=answer, args=(listener,))
        answering.start()
        assert not is_alive({"SERVE_PORT": str(listener.getsockname()[1])})
        answering.join()


@pytest.mark.parametrize("port", ["", "tcp://10.0.0.1:80"])
def test_without_a_port_of_its_own_the_usual_one_is_asked(
    port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(socket, "create_connection", lambda address, *_: asked.append(address))
    with pytest.raises(AttributeError):
        is_alive({"SERVE_PORT": port, "SERVE_HOST": "0.0.0.0"})
    assert asked == [("localhost", 5001)]


def test_it_imports_nothing_of_the_service() -> None:
    script = "import sys, app.web.alive; print([m for m in sys.modules if m.startswith('app')])"
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(ROOT), capture_output=True)
    assert done.stdout.decode().strip() == "['app', 'app.web', 'app.web.alive']"
