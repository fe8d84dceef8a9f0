"""What webhooks cost those who open tickets: two desks alike, one with 50 webhooks that are told of everything."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import seed
from figures import Row
from servers import Desk, Server

WEBHOOKS = 50
RECEIVER = "127.77.0.1"


class _Taking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def receiver() -> Iterator[int]:
    with ThreadingHTTPServer((RECEIVER, 0), _Taking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _desk(directory: Path, webhooks: int, port: int, stack: ExitStack) -> Server:
    desk = Desk(directory)
    desk.environment["DESKPLANE_WEBHOOK_NETWORKS"] = f"{RECEIVER}/32"
    key = desk.prepare()
    server = desk.start(2, 4, key)
    stack.callback(server.stop)
    server.wait()
    for number in range(webhooks):
        wanted = {"name": f"hook-{number}", "url": f"http://{RECEIVER}:{port}/", "secret": f"whsec_{'c2VjcmV0' * 4}"}
        server.ask("POST", "/api/v1/webhooks/apply", wanted)
    stack.enter_context(desk.worker())
    return server


def _rest(server: Server) -> None:
    """Waits until everything has been delivered."""
    while server.ask("GET", "/readyz")["outbox"]:
        time.sleep(0.02)


def _opened(server: Server, number: int) -> float:
    begun = time.perf_counter()
    server.ask("POST", seed.TICKETS, seed.created(number))
    return time.perf_counter() - begun


def measure(directory: Path, rounds: int) -> Iterator[Row]:
    """Opening a ticket with 50 webhooks beside opening one with none, one client, workers beside both."""
    with ExitStack() as stack:
        port = stack.enter_context(receiver())
        none, many = (_desk(directory / f"webhooks-{count}", count, port, stack) for count in (0, WEBHOOKS))
        for name, steps, bar in (("", 3, 1.1), (", while they are told of the one before", 1, None)):
            ratios, all_times = [], ([], [])
            for turn in range(rounds + 1):
                times: tuple[list[float], list[float]] = ([], [])
                for step in range(steps):
                    for side in (0, 1, 1, 0):
                        server = (none, many)[side]
                        if bar is not None:
                            _rest(server)
                        times[side].append(_opened(server, step))
                if turn:  # the first one warms up
                    ratios.append(statistics.median(times[1]) / statistics.median(times[0]))
                    for kept, found in zip(all_times, times, strict=True):
                        kept.extend(found)
                for server in (none, many):
                    _rest(server)
            alone, told = (statistics.median(found) * 1000 for found in all_times)
            yield Row(
                f"create with {WEBHOOKS} webhooks / none{name}",
                statistics.median(ratios),
                at_most=bar,
                detail=f"median {told:.2f} ms against {alone:.2f} ms",
                rounds=ratios,
            )
