"""The server process: gunicorn, with threads."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from prometheus_client import multiprocess

from deskplane.app import create_app, make_desk
from deskplane.settings import Settings


class Application(BaseApplication):  # type: ignore[misc]
    """Gunicorn with our settings; each process opens the database for itself."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        options: dict[str, Any] = {
            "bind": settings.bind,
            "workers": settings.workers,
            "threads": settings.threads,
            "worker_class": "gthread",
            "timeout": 120,
            "graceful_timeout": 30,
            "keepalive": 75,
            "backlog": 512,
            # room for a filter of the longest name, percent-encoded
            "limit_request_line": 8190,
            "control_socket_disable": True,
            "loglevel": settings.log_level,
            "child_exit": _forget,
            "proc_name": "deskplane",
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(make_desk(self.settings))


def _forget(_server: Any, process: Any) -> None:
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]


def run(settings: Settings) -> None:
    """Serves until SIGTERM."""
    Application(settings).run()
