"""A desk of one's own: server and worker with their data below one folder, as `make run` and the tests start them."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import toolchain
from toolchain import ToolError

ADMIN = "admin"
KEY_NAME = "make run"
PRIVATE = 0o077
"""The umask of what writes the desk's files: nobody else reads them, as `deskplane check` wants it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def usable_port(text: str) -> int:
    """The port that the text names. Raises ToolError when it is none, or not to be had."""
    port = int(text) if text.isdecimal() else 0
    if not 0 < port < 65536:
        raise ToolError(f"{text!r} is no port; choose one from 1024 to 65535: make run PORT=8081")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise ToolError(f"port {port} is reserved for root; choose another: make run PORT=8081") from None
        except OSError:
            raise ToolError(
                f"port {port} on 127.0.0.1 is in use; stop what listens there, or choose another: make run PORT=8081"
            ) from None
    return port


def write_secret(path: Path, text: str) -> None:
    """Made with its final rights, not narrowed later: there is no moment in which others could read it."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text + "\n")


class Desk:
    """Paths, settings and processes of one desk. `home` keeps everything, so the same home is the same desk again."""

    def __init__(self, home: Path, port: int, *, environment: toolchain.Environment = toolchain.RUN) -> None:
        self.home = home
        self.port = port
        self.environment = environment
        self.config = home / "deskplane.yml"
        self.database = home / "deskplane.db"
        self.key_file = home / "admin.key"
        self.password_file = home / "admin.password"
        self.secret_file = home / "secret.key"
        self.log = home / "log"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return self.key_file.read_text().strip()

    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DESKPLANE_")}
        # Compiling the server anew at each of its starts would cost more than starting it.
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {**kept, "DESKPLANE_CONFIG": str(self.config), "PYTHONUNBUFFERED": "1"}

    def prepare(self) -> None:
        """Folders, secrets and settings; what is there already stays."""
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.log.mkdir(exist_ok=True)
            if not self.secret_file.exists():
                write_secret(self.secret_file, secrets.token_urlsafe(48))
            if not self.password_file.exists():
                write_secret(self.password_file, secrets.token_urlsafe(18))
            self.config.write_text(self.settings())
        except OSError as error:
            raise ToolError(f"cannot write below {self.home}: {error.strerror}") from None

    def settings(self) -> str:
        values = {
            "database_url": f"sqlite:///{self.database}",
            "secret_key_file": str(self.secret_file),
            "bind": f"127.0.0.1:{self.port}",
            "log_format": "json",
        }
        # JSON strings are YAML strings, whatever the path has in it.
        lines = [f"{name}: {json.dumps(value)}\n" for name, value in values.items()]
        return "# Written anew at each start; change the settings by environment variables.\n" + "".join(lines)

    def cli(self, *arguments: str, text: str = "") -> str:
        """Run the server's own command; its answer, or its last line as the error."""
        command = [self.environment.command("deskplane"), *arguments]
        done = subprocess.run(
            command,
            env=self.variables(),
            cwd=self.home,
            umask=PRIVATE,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
            raise ToolError(f"deskplane {' '.join(arguments)}: {lines[-1].removeprefix('deskplane: ')}")
        return done.stdout.strip()

    def ensure_key(self) -> None:
        """The first administrator and a key; the key of an earlier start is kept while the desk accepts it."""
        if self.key_file.exists() and self.status("/api/v1/users?limit=1") == 200:
            return
        password = self.password_file.read_text().strip()
        self.cli("user", "create-admin", ADMIN, "--if-missing", "--password-stdin", text=password + "\n")
        # A key is shown once, so one whose file is gone cannot be had again; the new one gets a name of its own.
        name = f"{KEY_NAME} {time.strftime('%Y-%m-%d %H:%M:%S')}"
        key = self.cli("key", "create", "--user", ADMIN, "--name", name)
        if not key.startswith("dpk_"):
            raise ToolError("deskplane key create printed no key")
        write_secret(self.key_file, key)

    def open(self, *, worker: bool = True, workers: int = 1, threads: int = 8) -> None:
        """Start everything, and return when it answers and there is a key to it."""
        self.prepare()
        serve = ["serve", "--bind", f"127.0.0.1:{self.port}", "--workers", str(workers), "--threads", str(threads)]
        self.spawn("server", serve)
        self.wait_ready()
        # Only now: the server brings the tables up to date as it starts, and a worker refuses older ones.
        if worker:
            self.spawn("worker", ["worker"])
        self.ensure_key()

    def spawn(self, name: str, arguments: list[str]) -> None:
        with (self.log / f"{name}.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches only us, and we stop the others in order.
            self.processes[name] = subprocess.Popen(
                [self.environment.command("deskplane"), *arguments],
                env=self.variables(),
                cwd=self.home,
                umask=PRIVATE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.require_alive()
            if self.status("/readyz") == 200:
                return
            time.sleep(0.05)
        raise ToolError(f"the server is not ready after {seconds:.0f} s; its log: {self.log / 'server.log'}")

    def require_alive(self) -> None:
        for name, process in self.processes.items():
            code = process.poll()
            if code is not None:
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                raise ToolError(f"the {name} {how}: {self.last_log_line(name)} (log: {self.log / (name + '.log')})")

    def last_log_line(self, name: str) -> str:
        lines = (self.log / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it logged nothing"

    def require_no_faults(self) -> None:
        """Whatever a caller did, the server must not have answered 5xx nor logged an error; its log tells."""
        for line in (self.log / "server.log").read_text(errors="replace").splitlines():
            if "Traceback (most recent call last)" in line:
                raise ToolError(f"the server's log has a traceback (log: {self.log / 'server.log'})")
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if not isinstance(entry, dict):
                continue
            status = entry.get("status")
            if (isinstance(status, int) and status >= 500) or entry.get("level") in ("error", "critical"):
                raise ToolError(f"the server's log has a fault: {line[:300]}")

    def stop(self, seconds: float = 30) -> None:
        running = [process for process in self.processes.values() if process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + seconds
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def request(self, path: str) -> urllib.request.Request:
        headers = {"Accept": "application/json"}
        if self.key_file.exists():
            headers["Authorization"] = f"Bearer {self.key}"
        return urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 - always our own http address

    def status(self, path: str) -> int:
        """The HTTP status of a GET, or 0 when nothing answers."""
        try:
            with OPENER.open(self.request(path), timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def get(self, path: str) -> Any:
        try:
            with OPENER.open(self.request(path), timeout=30) as answer:
                return json.load(answer)
        except (OSError, ValueError) as error:
            raise ToolError(f"GET {path}: {error}") from None


# Never by a proxy: the desk is on this machine, whatever the environment says about the world outside.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
