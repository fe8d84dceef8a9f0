"""The server process: gunicorn, with threads."""

from __future__ import annotations

import errno
import gc
import logging
import mmap
import os
import resource
import socket
import stat
import time
from functools import partial
from threading import Timer
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.workers.gthread import ThreadWorker
from prometheus_client import multiprocess

from deskplane.app import create_app, make_desk
from deskplane.kernel.leaving import leaving
from deskplane.settings import Settings, SettingsError
from deskplane.sockets import PatientSocket, take_no_first_packet, write_error

IN_FLIGHT = 30
"""Seconds that requests in flight have to end, once the server lets nobody in."""


HANDSHAKE = 0.05
"""Seconds that whoever has begun to connect has to end it: a few times what a packet takes to a proxy and back."""

MOST_CONNECTIONS = 1000
"""What a process has open at once, with those who are idle."""


def connections(threads: int) -> int:
    """How many callers a process may be connected with, so that files are left for what it does for them: a thread has
    the database open twice, which are three files each with SQLite, and may keep a file that comes in. Without that
    bound a flood of connections ends the process, with all that it was doing."""
    own = 40 + 10 * threads
    allowed, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = MOST_CONNECTIONS if allowed == resource.RLIM_INFINITY else allowed - own
    return max(2 * threads, min(MOST_CONNECTIONS, room))


class Log(GunicornLogger):  # type: ignore[misc]
    """Gunicorn's own lines through the process's log, in its form."""

    def setup(self, cfg: Any) -> None:
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel, logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.error_log.handlers[:] = []
        self.error_log.propagate = True


class Worker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's worker with threads, which loses nobody as it leaves: who is connected is served, whether he was
    accepted yet or not, and who comes later is refused at once, so that a proxy goes to the next server."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: from now on `/readyz` says 503, and after `drain_seconds` nobody new is let in."""
        if leaving.is_set():
            return
        leaving.set()
        stop = partial(super().handle_exit, sig, frame)
        if seconds := self.app.settings.drain_seconds:
            waiting = Timer(seconds, stop)
            waiting.daemon = True
            waiting.start()
        else:
            stop()

    def handle(self, conn: Any) -> Any:
        """A request of a connection, from the first byte on, with patience that ends."""
        if not isinstance(conn.sock, PatientSocket):
            conn.sock = PatientSocket.of(conn.sock)
        conn.sock.begin()
        return super().handle(conn)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            self._shut_the_door()

    def _shut_the_door(self) -> None:
        """Takes in who waits at the door, and closes it. A socket that stays open lets others connect and send, and
        resets them when it is closed at last: a proxy may not repeat what it sent."""
        if self.app.is_stopping:
            for listener in self.sockets:
                take_no_first_packet(listener.sock)
            self._take_in()
            time.sleep(HANDSHAKE)
        self._take_in()
        for listener in self.sockets:
            listener.close()

    def _take_in(self) -> None:
        for listener in self.sockets:
            served = -1
            while served != self.nr_conns:
                served = self.nr_conns
                self.accept(listener)


class Master(Arbiter):  # type: ignore[misc]
    """Gunicorn's master, which lets its workers know whether all of them leave, or one for another."""

    def stop(self, graceful: bool = True) -> None:
        # by the same signs gunicorn knows whether somebody else goes on to listen on its sockets
        if self.reexec_pid == self.master_pid == 0 and not self.systemd and not self.cfg.reuse_port:
            self.app.is_stopping = True
        super().stop(graceful)


class Application(BaseApplication):  # type: ignore[misc]
    """Gunicorn with our settings; each process opens the database for itself."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stopping = mmap.mmap(-1, 1)  # of all processes
        super().__init__()

    @property
    def is_stopping(self) -> bool:
        """Whether the server ends, with all its processes."""
        return self._stopping[0] != 0

    @is_stopping.setter
    def is_stopping(self, value: bool) -> None:
        self._stopping[0] = value

    def run(self) -> None:
        Master(self).run()

    def load_config(self) -> None:
        settings = self.settings
        options: dict[str, Any] = {
            "bind": settings.bind,
            "workers": settings.workers,
            "threads": settings.threads,
            "worker_class": Worker,
            "worker_connections": connections(settings.threads),
            "timeout": 120,
            "graceful_timeout": settings.drain_seconds + IN_FLIGHT,
            "keepalive": 75,
            "backlog": 512,
            # room for a filter of the longest name, percent-encoded
            "limit_request_line": 8190,
            "limit_request_fields": 100,
            "limit_request_field_size": 8190,
            # who a caller is, and how he came, is found out in one place, which counts proxies (`create_app`)
            "forwarded_allow_ips": "",
            "secure_scheme_headers": {},
            "forwarder_headers": "",
            "control_socket_disable": True,
            "loglevel": settings.log_level,
            "logger_class": Log,
            "child_exit": _forget,
            "proc_name": "deskplane",
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        util.write_error = write_error
        app = create_app(make_desk(self.settings))
        gc.collect()
        gc.freeze()  # what is loaded stays for good: no collection needs to look at it again
        gc.set_threshold(10_000, 20, 20)
        return app


def _forget(_server: Any, process: Any) -> None:
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]


def require_free(bind: str) -> None:
    """Raises SettingsError where nobody can listen there: gunicorn would try for seconds, and then say little."""
    if bind.startswith("unix:"):
        _require_free_path(bind.removeprefix("unix:"))
        return
    host, _, port = bind.rpartition(":")
    if int(port) > 65535:
        raise SettingsError(f"bind: {port} is no port; choose one from 1 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise SettingsError(f"bind: cannot listen on {bind}: {error.strerror}") from None


def _require_free_path(path: str) -> None:
    """A socket that nobody listens on is what a server that was killed has left: gunicorn takes its place."""
    trouble = None
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
            trouble = os.strerror(errno.EADDRINUSE)
        except FileNotFoundError:
            if not os.access(os.path.dirname(path), os.W_OK | os.X_OK):
                trouble = "its directory is not there, or this user may not write to it"
        except ConnectionRefusedError:
            if not stat.S_ISSOCK(os.stat(path).st_mode):
                trouble = "there is a file of this name that is no socket"
        except OSError as error:
            trouble = error.strerror or str(error)  # a path that is too long has no number
    if trouble:
        raise SettingsError(f"bind: cannot listen on {path}: {trouble}")


def run(settings: Settings) -> None:
    """Serves until SIGTERM."""
    Application(settings).run()
