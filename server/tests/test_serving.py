"""Where a server listens: a process of its own, on a socket that a proxy of the same machine finds by its path."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from deskplane.serving import require_free
from deskplane.settings import SettingsError
from deskplane.sockets import take_no_first_packet

SECRET = "vX3kq9Zt7Lw2Rb8Nc5Hd1Gf6Js4Kp0Ym-Qe"


class SocketConnection(HTTPConnection):
    """HTTP over a socket with a path."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def test_a_server_answers_on_a_socket_with_a_path_and_takes_the_place_of_one_that_was_left(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DESKPLANE_")},
        "DESKPLANE_SECRET_KEY": SECRET,
        "DESKPLANE_DATABASE_URL": f"sqlite:///{tmp_path / 'desk.db'}",
    }
    program = [sys.executable, "-c", "from deskplane.cli import main; main()"]
    serve = [*program, "serve", "--bind", f"unix:{path}", "--workers", "1", "--threads", "1"]
    with subprocess.Popen(serve, env=variables, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(200):
                connection = SocketConnection(path)
                try:
                    connection.request("GET", "/readyz")
                except OSError:
                    assert server.poll() is None, "the server ended"
                    time.sleep(0.1)
                    continue
                assert connection.getresponse().status == 200
                break
            with pytest.raises(SettingsError, match="Address already in use"):
                require_free(f"unix:{path}")
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0


def test_a_path_that_cannot_be_listened_on_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, reason in (
        (tmp_path / "file", "no socket"),
        (tmp_path / "nowhere" / "server.sock", "its directory"),
        (tmp_path / ("x" * 200), "too long"),
    ):
        with pytest.raises(SettingsError, match=reason):
            require_free(f"unix:{path}")
    require_free(f"unix:{tmp_path / 'server.sock'}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do that")
def test_who_comes_as_a_door_is_shut_is_refused_and_who_came_before_is_not() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(listener.getsockname()) as before:
        take_no_first_packet(listener)
        before.sendall(b"hello")
        taken, _address = listener.accept()
        with taken:
            assert taken.recv(5) == b"hello"
            late = socket.socket()
            late.setblocking(False)
            with late:
                assert late.connect_ex(listener.getsockname()) == errno.EINPROGRESS
                told = select.poll()
                told.register(late, select.POLLOUT)
                assert told.poll(300) == [], "not heard, and so not told that it is connected"
                listener.close()
                assert told.poll(10_000) != []
                assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
            before.sendall(b"world")
            assert taken.recv(5) == b"world", "who is connected stays so"
