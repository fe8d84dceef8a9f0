"""Real server and worker processes for tests to kill, and clients that do not give up."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import server_logs
from conftest import SECRET

COMMAND = [sys.executable, "-c", "from deskplane.cli import main; main()"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def environment(database_url: str, directory: Path, **more: str) -> dict[str, str]:
    """The settings of a process, which leaves its temporary files where the test's own are."""
    return os.environ | {
        "DESKPLANE_DATABASE_URL": database_url,
        "DESKPLANE_SECRET_KEY": SECRET,
        "DESKPLANE_ENVIRONMENT": "test",
        "DESKPLANE_LOG_LEVEL": "warning",
        "TMPDIR": str(directory),
        **{f"DESKPLANE_{name.upper()}": value for name, value in more.items()},
    }


class Process:
    """A `deskplane` process and its children: one group, so that a kill leaves none of them."""

    def __init__(
        self, arguments: Sequence[str], variables: Mapping[str, str], log: Path, around: Sequence[str] = ()
    ) -> None:
        self.log = log
        server_logs.watched(log)
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                [*around, *COMMAND, *arguments], env=dict(variables), stdout=output, stderr=output, process_group=0
            )

    def kill(self) -> None:
        """kill -9 of the whole group: a power cut, as far as the processes know."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def terminate(self, seconds: float = 30) -> int:
        """SIGTERM to the leader; answers its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(seconds)


class Server:
    """A server on one port, which may be killed and started again."""

    def __init__(
        self, database_url: str, directory: Path, *, workers: int = 2, threads: int = 4, **variables: str
    ) -> None:
        self.port = free_port()
        self.directory = directory
        self.variables = environment(database_url, directory, **variables)
        self.arguments = [
            "serve", "--bind", f"127.0.0.1:{self.port}", "--workers", str(workers), "--threads", str(threads)
        ]  # fmt: skip
        self.process: Process | None = None

    def start(self, around: Sequence[str] = ()) -> None:
        """Starts it, and waits until it answers."""
        self.process = Process(self.arguments, self.variables, self.directory / "server.log", around)
        deadline = time.monotonic() + 180
        while True:
            with suppress(OSError, http.client.HTTPException):
                if self.request("GET", "/healthz", None)[0] == 200:
                    return
            assert time.monotonic() < deadline, self.process.log.read_text()[-4000:]
            assert self.process.popen.poll() is None, self.process.log.read_text()[-4000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9 of all its processes."""
        assert self.process is not None
        self.process.kill()

    def request(
        self, method: str, path: str, body: Any, key: str = "", seconds: float = 30, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """One request on a connection of its own: status, headers, JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, dict(answer.getheaders()), json.loads(data) if data else None
        finally:
            connection.close()

    def insist(self, body: Any, key: str, idempotency_key: str, seconds: float = 90) -> dict[str, Any]:
        """Opens a ticket, with the same Idempotency-Key until the server says that it did."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError, http.client.HTTPException, ValueError):
                status, _headers, found = self.request(
                    "POST", "/api/v1/tickets", body, key, 15, Idempotency_Key=idempotency_key
                )
                if status == 201:
                    assert isinstance(found, dict)
                    return found
                assert status == 503, (status, found)
            assert time.monotonic() < deadline, "the server does not come back"
            time.sleep(0.02)


@contextmanager
def served(database_url: str, directory: Path, **options: Any) -> Iterator[Server]:
    """A server for the length of a test."""
    found = Server(database_url, directory, **options)
    found.start()
    try:
        yield found
    finally:
        found.kill()


def together(count: int, work: Callable[[int], object]) -> list[Any]:
    """Runs `work` in so many threads that begin at once; answers what they answered, or raises what one raised."""
    barrier = threading.Barrier(count)
    found: list[Any] = [None] * count
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            barrier.wait()
            found[index] = work(index)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return found
