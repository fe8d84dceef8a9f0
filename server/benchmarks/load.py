"""The load generator: one process, one thread, many kept connections, exact latencies.

It is a process of its own, so that its share of the processor can be told from the server's. It reads one job a line
on standard input and answers one line with what it saw. A job is
    {"port", "seconds", "connections", "requests": [[method, target, body or null], ...], "headers": {...}, "expect"}
Requests are taken in turn, round and round; COUNTED in one of them becomes another number each time it is sent, so
that nothing can be answered from memory. An answer with another status ends the job with an error: a benchmark of
error pages looks fast and says nothing.
"""

from __future__ import annotations

import json
import resource
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any

PATIENCE = 30.0
COUNTED = b"########"


_numbers = count(1)


class Unexpected(Exception):
    pass


@dataclass
class Connection:
    port: int
    socket: socket.socket = field(init=False)
    buffer: bytearray = field(default_factory=bytearray)
    needed: int = 0  # bytes of the whole answer once its head has been read
    sent_at: float = 0.0

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        self.buffer.clear()
        self.needed = 0
        if COUNTED in request:
            request = request.replace(COUNTED, b"%08d" % next(_numbers))
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """True when the answer is complete."""
        chunk = self.socket.recv(262144)
        if not chunk:
            raise Unexpected("the server closed a connection in the middle of a request")
        self.buffer += chunk
        if not self.needed:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                raise Unexpected(f"an answer without Content-Length: {head[:200]!r}")
            self.needed = end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])
        return len(self.buffer) >= self.needed

    def status(self) -> int:
        return int(self.buffer[9:12])

    def closing(self) -> bool:
        return b"\r\nconnection: close" in bytes(self.buffer[:600]).lower()

    def body(self) -> bytes:
        return bytes(self.buffer).split(b"\r\n\r\n", 1)[1]


def encode(requests: list[list[Any]], headers: dict[str, str]) -> list[bytes]:
    common = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **headers}.items())
    encoded = []
    for method, target, body in requests:
        content = b"" if body is None else json.dumps(body).encode()
        more = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n" if content else ""
        encoded.append(f"{method} {target} HTTP/1.1\r\n{common}{more}\r\n".encode() + content)
    return encoded


def run(job: dict[str, Any]) -> dict[str, Any]:
    requests = cycle(encode(job["requests"], job["headers"]))
    latencies: list[float] = []
    connections = [Connection(job["port"]) for _ in range(job["connections"])]
    selector = selectors.EpollSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    deadline = started + job["seconds"]
    for connection in connections:
        connection.send(next(requests))
    waiting = len(connections)
    last = b""
    while waiting:
        ready = selector.select(PATIENCE)
        if not ready:
            raise Unexpected(f"no answer within {PATIENCE:.0f} s")
        for key, _ in ready:
            connection = key.data
            if not connection.receive():
                continue
            now = time.perf_counter()
            latencies.append(now - connection.sent_at)
            if connection.status() != job["expect"]:
                raise Unexpected(f"{connection.status()} instead of {job['expect']}: {connection.body()[:400]!r}")
            if now >= deadline:
                waiting -= 1
                last = connection.body()
                continue
            if connection.closing():
                selector.unregister(connection.socket)
                connection.socket.close()
                connection.open()
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(next(requests))
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    for connection in connections:
        connection.socket.close()
    selector.close()
    return {
        "seconds": seconds,
        "count": len(latencies),
        "latencies_us": sorted(round(latency * 1e6) for latency in latencies),
        "processor_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "bytes": len(last),
    }


def main() -> None:
    for line in sys.stdin:
        try:
            answer = run(json.loads(line))
        except (Unexpected, OSError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
