"""Two servers behind nginx are upgraded one after the other, while people work: no request fails, no event is lost.

The newer version is this one with one more migration, so that the older one meets a database that is ahead of it.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from crash_servers import Process, Server

import deskplane
from conftest import Api, Postgres, settings
from deskplane import migrations
from deskplane.app import Desk, make_desk, migrate
from instances import ask, machines, nginx
from receivers import NETWORK, Script, receiver
from worker_help import wait_for

pytestmark = pytest.mark.only_on("postgresql")  # SQLite is for one machine
NEXT = "9999"
_MIGRATION = '''"""What the next version adds.

Revision: {next}, after: {head}
"""

import sqlalchemy as sa
from alembic import op

revision = "{next}"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tickets", sa.Column("of_the_next", sa.Integer(), server_default="0", nullable=False))
'''


def next_version(directory: Path) -> str:
    """A copy of the server's code with one more migration: a folder for PYTHONPATH."""
    package = directory / "deskplane"
    shutil.copytree(Path(deskplane.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    text = _MIGRATION.format(next=NEXT, head=migrations.head())
    (package / "migrations" / "versions" / f"{NEXT}_next.py").write_text(text)
    return str(directory)


class People:
    """Clients that open, read and change tickets, so many requests a second, each sent once."""

    def __init__(self, port: int, key: str, per_second: float, threads: int = 4) -> None:
        self._port, self._key, self._pause = port, key, threads / per_second
        self._stop = threading.Event()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.made: list[str] = []
        self.errors: list[str] = []
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]

    def __enter__(self) -> People:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_others: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        step = 0
        due = time.monotonic() + number * self._pause / len(self._threads)
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += self._pause
            self._step(number, step)
            step += 1

    def _step(self, number: int, step: int) -> None:
        path: str = "/api/v1/tickets"
        body: Any = None
        method, headers = ("POST", "GET", "PATCH", "GET")[step % 4], {}
        if method == "POST":
            body, headers = {"title": f"{number}/{step}"}, {"Idempotency_Key": f"{number}-{step}"}
        elif step % 4 < 3 and self.made:
            path = f"{path}/{self.made[-1]}"
            body = {"priority": "high"} if method == "PATCH" else None
        else:
            method = "GET"
        try:
            status, _headers, found = ask(self._port, method, path, body, self._key, **headers)
        except Exception as error:
            self.errors.append(f"{method} {path}: {error!r}")
            return
        self.answers[method, status] += 1
        if method == "POST" and status == 201:
            self.made.append(found["number"])


def roll(server: Server, newer: str) -> None:
    """What an upgrade does on one machine: stop, and start the newer version, the first of which migrates."""
    assert server.process is not None
    assert server.process.terminate(60) == 0
    server.variables["PYTHONPATH"] = newer
    server.start()


def upgraded(api: Api, database_url: str, directory: Path, *, rounds: int, pause: float, processes: int) -> None:
    (directory / "newer").mkdir()
    newer = next_version(directory / "newer")
    script = Script()
    key = str(api.key)
    with (
        receiver(script) as (address, receiver_port),
        machines(database_url, directory, workers=processes, webhook_networks=str(NETWORK)) as servers,
        nginx(directory, servers) as port,
    ):
        hook = {"name": "hook", "url": f"http://{address}:{receiver_port}/x", "events": ["ticket_created"]}
        assert ask(port, "POST", "/api/v1/webhooks/apply", hook, key)[0] == 201
        worker = Process(["worker"], servers[0].variables, directory / "worker.log")
        try:
            with People(port, key, per_second=20) as people:
                for server in servers * rounds:
                    time.sleep(pause)
                    roll(server, newer)
                time.sleep(pause)
            assert people.errors == []
            assert {status for _method, status in people.answers} == {200, 201}, people.answers
            assert len(set(people.made)) == len(people.made) == people.answers["POST", 201] > 0
            assert ask(servers[1].port, "GET", "/readyz")[2]["migrations"] == NEXT
            wait_for(lambda: len(script.got) >= len(people.made), 60 + len(people.made))
        finally:
            worker.terminate()
        assert len({got.headers["webhook-id"] for got in script.got}) == len(people.made)


@pytest.fixture
def database_url(postgres: Postgres) -> str:
    """A database of this test's own, since its tables will be other ones."""
    url = postgres.new()
    desk = make_desk(settings(url))
    migrate(desk)
    desk.database.dispose()
    return url


@pytest.mark.feature("F272")
def test_no_request_fails_while_servers_are_upgraded_one_after_the_other(
    api: Api, desk: Desk, database_url: str, tmp_path: Path
) -> None:
    upgraded(api, database_url, tmp_path, rounds=1, pause=0.5, processes=1)


@pytest.mark.soak
def test_no_request_fails_while_servers_restart_again_and_again(
    api: Api, desk: Desk, database_url: str, tmp_path: Path
) -> None:
    upgraded(api, database_url, tmp_path, rounds=10, pause=3, processes=2)
