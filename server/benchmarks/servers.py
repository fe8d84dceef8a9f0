"""Starting the two servers alike, and reading what they cost: processor time and memory from /proc."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """What stopped the benchmark, in one line."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(name: str) -> str:
    """A command installed beside this Python, so that an unactivated environment works too."""
    beside = Path(sys.executable).with_name(name)
    if not beside.exists():
        raise BenchmarkError(f"{name} is not installed beside {sys.executable}: install the server's package first")
    return str(beside)


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int(entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):  # it ended while we were looking
                continue
            if parent == pid:
                found.append(int(entry.name))
    return sorted(found)


def processor_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        total += int(user) + int(system)
    return total / TICK


def memory_megabytes(pid: int) -> dict[str, float]:
    """Resident set (Rss) and the part of it that is this process's own or its share (Pss), in MB of 10^6 bytes."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("Rss", "Pss"):
            found[name.lower()] = int(value.split()[0]) * 1024 / 1e6
    return found


@dataclass
class Server:
    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    started: float
    key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def workers(self) -> list[int]:
        return children(self.process.pid)

    def request(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content.decode(errors="replace")

    def ask(self, method: str, target: str, body: Any = None) -> Any:
        status, answer = self.request(method, target, body)
        if status not in (200, 201):
            raise BenchmarkError(f"{self.name}: {method} {target} answered {status}: {str(answer)[:400]}")
        return answer

    def wait(self, target: str = "/healthz", patience: float = 60.0) -> float:
        """Seconds from the start of the process to the first 200 of target."""
        while True:
            try:
                if self.request("GET", target)[0] == 200:
                    return time.perf_counter() - self.started
            except OSError:
                pass
            if self.process.poll() is not None or time.perf_counter() - self.started > patience:
                tail = self.log.read_text(errors="replace").strip().splitlines()[-3:]
                raise BenchmarkError(f"{self.name} does not answer {target}; its last words: {' | '.join(tail)}")
            time.sleep(0.005)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _start(name: str, arguments: list[str], environment: dict[str, str], port: int, log: Path) -> Server:
    with log.open("ab") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            arguments,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd=log.parent,
        )
    return Server(name, port, process, log, started)


def start_reference(directory: Path, workers: int, threads: int) -> Server:
    port = free_port()
    arguments = [command("gunicorn"), "--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads)]
    arguments += ["--keep-alive", "75", "--log-level", "warning", "--bind", f"127.0.0.1:{port}"]
    arguments += ["--chdir", str(HERE), "reference:app"]
    environment = {"REFERENCE_DB": str(directory / "reference.db"), "PYTHONDONTWRITEBYTECODE": "1"}
    return _start("the reference", arguments, environment, port, directory / "reference.log")


class Desk:
    """One installation of the product in a directory of its own, configured as in production."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.database = directory / "desk.db"
        secret = directory / "secret_key"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_urlsafe(48))
        self.environment = {
            "DESKPLANE_DATABASE_URL": f"sqlite:///{self.database}",
            "DESKPLANE_SECRET_KEY_FILE": str(secret),
            "DESKPLANE_ENVIRONMENT": "production",
            "DESKPLANE_LOG_FORMAT": "json",
            # counted as ever, and never too many
            "DESKPLANE_REQUESTS_PER_MINUTE_PER_ADDRESS": "1000000000",
            "DESKPLANE_REQUESTS_PER_MINUTE_PER_KEY": "1000000000",
        }

    def run(self, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            [command("deskplane"), *arguments],
            env={**os.environ, **self.environment},
            input=given,
            capture_output=True,
            text=True,
            cwd=self.directory,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise BenchmarkError(f"deskplane {' '.join(arguments)}: {said[-1] if said else 'failed without a word'}")
        return done.stdout.strip()

    def prepare(self) -> str:
        """Migrated, with an administrator; its key."""
        self.run("migrate")
        self.run("user", "create-admin", "bench", "--password-stdin", given=secrets.token_urlsafe(24))
        return self.run("key", "create", "--user", "bench", "--name", "bench")

    def start(self, workers: int, threads: int, key: str = "") -> Server:
        port = free_port()
        arguments = [command("deskplane"), "serve", "--bind", f"127.0.0.1:{port}"]
        arguments += ["--workers", str(workers), "--threads", str(threads)]
        server = _start("deskplane", arguments, self.environment, port, self.directory / "desk.log")
        server.key = key
        return server

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker beside the server."""
        with (self.directory / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [command("deskplane"), "worker"], env={**os.environ, **self.environment}, stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


class Generator:
    """The load generator's process (load.py), one job at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "load.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, server: Server, requests: list[list[Any]], *, seconds: float, connections: int, expect: int = 200
    ) -> dict[str, Any]:
        """What the generator saw, and the processor seconds that the server's workers took meanwhile."""
        assert self.process.stdin
        assert self.process.stdout
        job = {"port": server.port, "seconds": seconds, "connections": connections, "requests": requests}
        pids = server.workers()
        before = processor_seconds(pids)
        self.process.stdin.write(json.dumps({**job, "headers": server.headers, "expect": expect}) + "\n")
        self.process.stdin.flush()
        seen: dict[str, Any] = json.loads(self.process.stdout.readline())
        if "error" in seen:
            raise BenchmarkError(f"{server.name}: {requests[0][0]} {requests[0][1]}: {seen['error']}")
        seen["server_processor_seconds"] = processor_seconds(pids) - before
        return seen

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()
