"""Several servers on one PostgreSQL, each with folders of its own as if on a machine of its own, and an nginx."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crash.crash_servers import Process, Server, free_port, together

ROOT = Path(__file__).resolve().parents[2]

_NGINX = """
daemon off;
worker_processes 1;
pid {here}/nginx.pid;
error_log {here}/nginx-errors.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
    upstream desk {{
{servers}
        keepalive 16;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://desk;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            {more}
        }}
    }}
}}
"""


@contextmanager
def nginx(directory: Path, servers: Sequence[Server], more: str = "") -> Iterator[int]:
    """A real nginx before these servers, with connections that it keeps and `more` directives; yields its port. With
    `max_fails=0` it asks each server anew: one that was away for a moment is not left out for the ten seconds in which
    the other one goes."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from toolchain import require_program
    finally:
        sys.path.pop(0)
    require_program("nginx", "nginx-light")
    port = free_port()
    lines = "\n".join(f"        server 127.0.0.1:{server.port} max_fails=0;" for server in servers)
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(here=directory, port=port, servers=lines, more=more))
    directory.chmod(0o755)
    process = subprocess.Popen(
        ["nginx", "-p", str(directory), "-e", str(directory / "nginx-errors.log"), "-c", str(config)]
    )
    deadline = time.monotonic() + 20
    try:
        while True:
            assert process.poll() is None, (directory / "nginx-errors.log").read_text()
            with suppress(OSError):
                if ask(port, "GET", "/healthz")[0] == 200:
                    break
            assert time.monotonic() < deadline, "nginx does not serve"
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def ask(
    port: int, method: str, path: str, body: Any = None, key: str = "", seconds: float = 40, **headers: str
) -> tuple[int, dict[str, str], Any]:
    """One request on a connection of its own, once: status, headers, JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        sent = {"Authorization": f"Bearer {key}"} if key else {}
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        data = answer.read()
        is_json = "json" in (answer.getheader("Content-Type") or "")
        return answer.status, dict(answer.getheaders()), json.loads(data) if is_json else data
    finally:
        connection.close()


@contextmanager
def machines(database_url: str, directory: Path, count: int = 2, **options: Any) -> Iterator[list[Server]]:
    """So many servers, each with a folder of its own."""
    found = []
    for number in range(count):
        place = directory / f"machine{number}"
        place.mkdir()
        found.append(Server(database_url, place, **options))
    try:
        together(count, lambda number: found[number].start())
        yield found
    finally:
        for server in found:
            if server.process is not None:
                server.kill()


@contextmanager
def workers(servers: Sequence[Server]) -> Iterator[list[Process]]:
    """A worker on each of these machines."""
    for server in servers:
        server.directory.mkdir(exist_ok=True)
    found = [Process(["worker"], server.variables, server.directory / "worker.log") for server in servers]
    try:
        yield found
    finally:
        for process in found:
            process.terminate()
