# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server on a real socket that answers what a test wrote down, to the byte, or hangs up where it should."""

from __future__ import annotations

import json
import socket
import threading
import time

HANG_UP = object()
"""In place of an answer: close the connection without one."""


def answer(status=200, document=None, headers=None, body=None, version="0.1.0"):
    """An HTTP answer as bytes."""
    content = body if body is not None else json.dumps(document).encode("utf-8")
    lines = {"Content-Length": str(len(content)), "Content-Type": "application/json"}
    if version:
        lines["Deskplane-Version"] = version
    lines.update(headers or {})
    head = "HTTP/1.1 %d Whatever\r\n" % status + "".join("%s: %s\r\n" % pair for pair in lines.items())
    return head.encode("ascii") + b"\r\n" + content


def problem(status, detail, errors=None, headers=None, **extra):
    """The desk's refusal."""
    document = dict(
        {"type": "about:blank", "title": "Refused", "status": status, "detail": detail, "request_id": "r1"}, **extra
    )
    if errors:
        document["errors"] = errors
    return answer(status, document, dict({"Content-Type": "application/problem+json"}, **(headers or {})))


def applied(action="create", changes=(), after=None, **extra):
    """The desk's answer to an apply."""
    document = {"changed": action != "none", "action": action, "changes": list(changes), "before": None, "after": after}
    return answer(200, dict(dict(document, unresolved=[], warnings=[]), **extra))


class Request:
    def __init__(self, line, headers, body):
        self.method, self.target, _protocol = line.split(" ")
        self.headers = headers
        self.body = json.loads(body) if body and headers.get("content-type") == "application/json" else body


class ScriptedServer:
    """``script`` holds what to send, one entry a request; the last one is sent again and again.

    An entry is bytes, `HANG_UP`, a number of seconds to be silent for, or a list of these. ``requests`` and
    ``connections`` tell what came in.
    """

    def __init__(self, tls=None):
        self.script = [applied()]
        self.requests = []
        self.connections = 0
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.port)
        self._open = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self.stop()

    def stop(self):
        try:
            # Closing alone would leave the port open until the accepting thread wakes.
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        self.drop_connections()

    def drop_connections(self):
        """Close what is kept open, as a restarting server does."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self):
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.add(connection)
            with connection, connection.makefile("rb") as stream:
                while self._exchange(connection, stream):
                    pass
        except (OSError, ValueError):
            pass
        finally:
            self._open.discard(connection)

    def _exchange(self, connection, stream):
        line = stream.readline().decode("ascii").strip()
        if not line:
            return False
        headers = {}
        while True:
            header = stream.readline().decode("ascii").strip()
            if not header:
                break
            name, _colon, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length") or 0))
        self.requests.append(Request(line, headers, body))
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        for part in step if isinstance(step, list) else [step]:
            if part is HANG_UP:
                return False
            if isinstance(part, (int, float)):
                time.sleep(part)
            else:
                connection.sendall(part)
        return True
