"""Receivers of webhooks, each on an address of a test network within 127.0.0.0/8, and what they were sent."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

NETWORK = ip_network("127.77.0.0/16")
"""What the tests allow. 127.0.0.1 is not in it: whoever calls that is caught."""
_ADDRESSES = itertools.count(2)


@dataclass(frozen=True)
class Got:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Script:
    """What a receiver answers: a status, headers and a body, one after the other, the last again and again."""

    answers: Sequence[tuple[int, Mapping[str, str], bytes]] = ((200, {}, b""),)
    got: list[Got] = field(default_factory=list)
    wait: Callable[[], object] | None = None

    def next(self, request: Got) -> tuple[int, Mapping[str, str], bytes]:
        self.got.append(request)
        return self.answers[min(len(self.got), len(self.answers)) - 1]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def receiver(script: Script, address: str | None = None) -> Iterator[tuple[str, int]]:
    """A receiver; yields its address and port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, answer = script.next(Got(self.command, self.path, headers, body))
            if script.wait is not None:
                script.wait()
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, *_arguments: object) -> None:
            pass

    number = next(_ADDRESSES)
    with _Server((address or f"127.77.{number // 250}.{number % 250 + 1}", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server.server_address[0], server.server_port
        finally:
            server.shutdown()
            thread.join()
