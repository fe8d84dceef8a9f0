"""Servers that die with kill -9: what was acknowledged is there, once, under a number without gaps."""

from __future__ import annotations

import http.client
import itertools
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from crash_servers import Server, served, together
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from conftest import Api
from deskplane.app import Desk
from deskplane.kernel.idempotency import StoredAnswer
from deskplane.outbox.models import Message
from deskplane.tickets.models import Counter, History, Ticket

ROOT = Path(__file__).resolve().parents[3]
CLIENTS = 32
PREFIXES = ("ALPHA", "BETA", "GAMMA", "DELTA", "OMEGA")


def customers(api: Api) -> None:
    for prefix in PREFIXES:
        api.apply("customers", name=f"Customer {prefix}", number_prefix=prefix)


def ticket(item: int) -> dict[str, Any]:
    prefix = PREFIXES[item % len(PREFIXES)]
    return {"title": f"item {item}", "customer": f"Customer {prefix}", "tags": ["storm"], "correlation_key": f"{item}"}


def storm(server: Server, key: str, count: int, after: int = 0) -> dict[int, str]:
    """So many tickets from 32 clients at once; answers the acknowledged number of each."""
    items = itertools.count(after)
    lock = threading.Lock()
    numbers: dict[int, str] = {}

    def client(_index: int) -> None:
        while True:
            with lock:
                item = next(items)
            if item >= after + count:
                return
            found = server.insist(ticket(item), key, f"item-{item}")["number"]
            with lock:
                numbers[item] = found

    together(CLIENTS, client)
    return numbers


def assert_whole(desk: Desk, numbers: dict[int, str], *, others: int = 0) -> None:
    """Every acknowledged ticket is there once; numbers have no duplicate and no gap; nothing is half there."""
    with desk.database.transaction(write=False) as session:
        rows = session.execute(select(Ticket.title, Ticket.prefix, Ticket.sequence, Ticket.id)).all()
        histories = session.execute(select(History.ticket_id, History.field)).all()
        events = [row["ticket_number"] for row in session.execute(select(Message.payload)).scalars()]
        counters = dict(session.execute(select(Counter.prefix, Counter.last)).all())
        stored = session.execute(select(func.count()).select_from(StoredAnswer)).scalar_one()
    there = {row.title: f"{row.prefix}-{row.sequence:06d}" for row in rows}
    assert len(there) == len(rows), "an item has two tickets"
    assert there.items() >= {(f"item {item}", number) for item, number in numbers.items()}
    assert len(there) - len(numbers) <= others
    by_prefix = defaultdict(list)
    for row in rows:
        by_prefix[row.prefix].append(row.sequence)
    for prefix, sequences in by_prefix.items():
        assert sorted(sequences) == list(range(1, len(sequences) + 1)), prefix
        assert counters[prefix] == len(sequences)
    assert sorted(histories) == sorted((row.id, "created") for row in rows)
    assert sorted(events) == sorted(there.values())
    assert stored == len(rows)
    if desk.database.is_sqlite:
        with sqlite3.connect(str(desk.database.url.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def assert_repeats_make_no_second_ticket(server: Server, key: str, numbers: dict[int, str], count: int) -> None:
    for item in random.Random(1).sample(sorted(numbers), min(count, len(numbers))):
        assert server.insist(ticket(item), key, f"item-{item}")["number"] == numbers[item]


def stormed(api: Api, desk: Desk, url: str, directory: Path, count: int) -> None:
    customers(api)
    with served(url, directory) as server:
        numbers = storm(server, str(api.key), count)
        assert len(numbers) == count
        assert_repeats_make_no_second_ticket(server, str(api.key), numbers, 50)
    assert_whole(desk, numbers)


def killed(api: Api, desk: Desk, url: str, directory: Path, count: int, kills: int, pause: tuple[float, float]) -> None:
    customers(api)
    chance = random.Random(7)
    with served(url, directory) as server:
        done = threading.Event()
        deaths: list[float] = []

        def executioner() -> None:
            while len(deaths) < kills and not done.wait(chance.uniform(*pause)):
                server.kill()
                deaths.append(time.monotonic())
                server.start()

        thread = threading.Thread(target=executioner)
        thread.start()
        try:
            numbers = storm(server, str(api.key), count)
            after = count
            while len(deaths) < kills:  # the storm was over before the last kill: it goes on
                numbers |= storm(server, str(api.key), CLIENTS, after)
                after += CLIENTS
        finally:
            done.set()
            thread.join()
        assert len(deaths) == kills
        assert_repeats_make_no_second_ticket(server, str(api.key), numbers, 100)
    assert_whole(desk, numbers)


@pytest.mark.feature("F054")
def test_parallel_clients_leave_no_duplicate_and_no_gap(
    api: Api, desk: Desk, database_url: str, tmp_path: Path
) -> None:
    stormed(api, desk, database_url, tmp_path, 320)


def test_kill_9_loses_nothing_that_was_acknowledged(api: Api, desk: Desk, database_url: str, tmp_path: Path) -> None:
    killed(api, desk, database_url, tmp_path, 320, kills=2, pause=(0.3, 0.8))


@pytest.mark.soak
def test_three_thousand_tickets_from_parallel_clients(api: Api, desk: Desk, database_url: str, tmp_path: Path) -> None:
    stormed(api, desk, database_url, tmp_path, 3000)


@pytest.mark.soak
def test_three_thousand_tickets_while_the_server_is_killed(
    api: Api, desk: Desk, database_url: str, tmp_path: Path
) -> None:
    killed(api, desk, database_url, tmp_path, 3000, kills=8, pause=(0.5, 4.0))


def require_strace(directory: Path) -> None:
    """Installs strace where it is missing, and sees that it may look into processes here."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from toolchain import require_program
    finally:
        sys.path.pop(0)
    require_program("strace", "strace")
    done = subprocess.run(["strace", "-f", "-o", str(directory / "probe"), "true"], capture_output=True, text=True)
    assert done.returncode == 0, f"strace may not look into processes here: {done.stderr.strip()}"


CALLS = {"sqlite": "fdatasync", "postgresql": "sendto"}
"""At which system call a server dies: as it asks for its commit to be on the disk, and before each word to PostgreSQL
and to the client, so between any two statements, before and after the commit, and before the answer."""


@contextmanager
def killed_at(server: Server, point: int, call: str) -> Iterator[None]:
    """Meanwhile the serving process dies as one of its threads comes to its nth such call from now on."""
    assert server.process is not None
    arbiter = server.process.popen.pid
    (worker,) = Path(f"/proc/{arbiter}/task/{arbiter}/children").read_text().split()
    inject = f"inject={call}:signal=SIGKILL:when={point}"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, "-p", worker]
    tracer = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 30
        while not all("TracerPid:\t0" not in one.read_text() for one in Path(f"/proc/{worker}/task").glob("*/status")):
            assert time.monotonic() < deadline, "strace does not attach"
            time.sleep(0.01)
        yield
    finally:
        tracer.kill()  # asked politely, it waits for the one that it killed
        tracer.wait(30)


def swept(api: Api, desk: Desk, url: str, directory: Path, points: range) -> None:
    """Opens tickets until the serving process is killed, at each point in turn. What was not acknowledged is sent again
    to the next server under its Idempotency-Key, until it is."""
    require_strace(directory)
    call = CALLS[make_url(url).get_backend_name()]
    numbers: dict[int, str] = {}
    sent = itertools.count()
    unknown: int | None = None
    key = str(api.key)
    # one process with one thread, whose calls are those of the requests, one after the other
    server = Server(url, directory, workers=1, threads=1, migrate_on_start="false")
    for point in points:
        server.start()
        try:
            with killed_at(server, point, call):
                for _ in range(point + 2):
                    item = next(sent) if unknown is None else unknown
                    unknown = item
                    status, _headers, found = server.request(
                        "POST", "/api/v1/tickets", ticket(item), key, Idempotency_Key=f"item-{item}"
                    )
                    assert status == 201, found
                    numbers[item] = found["number"]
                    unknown = None
                pytest.fail(f"nothing died at {call} {point}")
        except (OSError, http.client.HTTPException):
            pass  # the last one may be there or not, and was not acknowledged
        finally:
            server.kill()
        assert_whole(desk, numbers, others=1)
    with served(url, directory) as whole:
        if unknown is not None:
            numbers[unknown] = whole.insist(ticket(unknown), key, f"item-{unknown}")["number"]
        assert_repeats_make_no_second_ticket(whole, key, numbers, 50)
    assert_whole(desk, numbers)
    print(f"{len(points)} kills at {call}: {len(numbers)} tickets of {len(numbers)} Idempotency-Keys")


def test_a_kill_at_any_point_leaves_all_or_nothing(api: Api, desk: Desk, database_url: str, tmp_path: Path) -> None:
    customers(api)
    swept(api, desk, database_url, tmp_path, range(1, 24, 12))


@pytest.mark.soak
def test_a_kill_at_each_of_two_hundred_points_leaves_all_or_nothing(
    api: Api, desk: Desk, database_url: str, tmp_path: Path
) -> None:
    customers(api)
    swept(api, desk, database_url, tmp_path, range(1, 201))
