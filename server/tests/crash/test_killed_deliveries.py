"""Servers and workers that die with kill -9 while events are delivered and mailed: each arrives, the deliveries signed,
under one id."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from crash_servers import Process, Server, environment, together
from sqlalchemy import func, select
from standardwebhooks import Webhook as Official

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.mail.models import Mail
from deskplane.outbox import service as outbox
from deskplane.outbox.models import Message
from deskplane.webhooks.models import Delivery
from mail.smtp_help import plain, smtp_server
from receivers import NETWORK, Script
from webhook_help import Receivers, receivers

SECRET = "whsec_" + "c2VjcmV0" * 4
SETTINGS = {"webhook_networks": str(NETWORK)}


@pytest.fixture
def hooks(desk: Desk, api: Api, clock: TurnedClock) -> Iterator[Receivers]:
    with receivers(desk, api, clock) as found:
        yield found


def storm(server: Server, key: str, count: int, clients: int = 4) -> list[str]:
    """So many tickets, however often the server dies; answers their numbers."""
    items = itertools.count()
    lock = threading.Lock()
    numbers: list[str] = []

    def client(_index: int) -> None:
        while True:
            with lock:
                item = next(items)
            if item >= count:
                return
            found = server.insist({"title": f"item {item}"}, key, f"item-{item}")["number"]
            with lock:
                numbers.append(found)

    together(clients, client)
    return numbers


def killed_again_and_again(
    hooks: Receivers, database_url: str, directory: Path, events: int, seconds: float, least_kills: int
) -> None:
    script = Script()
    hook = hooks.hook(script=script, secret=SECRET)
    with smtp_server() as box:
        told = {"recipients": ["leads@example.org"], "events": ["ticket_created"]}
        hooks.api.apply("departments", name="Desk", smtp=plain(box), notifications=told)
        hooks.api.apply("settings", key="department.default", value="Desk")
        numbers, kills = stormed(hooks, database_url, directory, events, seconds, least_kills)
    with hooks.desk.database.transaction(write=False) as session:
        assert session.execute(select(func.count()).select_from(Message)).scalar_one() == 0, (
            "nothing is left, nor leased"
        )
        states = dict(session.execute(select(Delivery.ticket_number, Delivery.state)).all())
        sent = Counter(session.execute(select(Mail.state)).scalars())
    assert states == dict.fromkeys(numbers, "succeeded")
    assert sent == {"sent": events}
    ids: dict[str, set[str]] = defaultdict(set)
    for got in script.got:
        at = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
        with time_machine.travel(at, tick=False):
            event: Any = Official(SECRET).verify(got.body, dict(got.headers))
        ids[event["ticket_number"]].add(got.headers["webhook-id"])
    mailed: dict[str, set[str]] = defaultdict(set)
    for taken in box.taken:
        mailed[re.findall(r"\[(TKT-\d+)\]", taken.mail["Subject"])[0]].add(taken.mail["Message-ID"])
    for found in (ids, mailed):
        assert sorted(found) == sorted(numbers), "every event arrived"
        assert {len(names) for names in found.values()} == {1}, "each under one id, however often"
    assert len(hooks.deliveries(hook, "?limit=200")) == min(events, 200)
    print(f"\n{events} events, {kills} kills, {len(script.got)} requests, {len(box.taken)} mails")


def stormed(
    hooks: Receivers, database_url: str, directory: Path, events: int, seconds: float, least_kills: int
) -> tuple[list[str], int]:
    """Opens tickets while server and worker are killed, and lets everything come to its end; answers the tickets'
    numbers, and how often both were killed."""
    server = Server(database_url, directory, workers=1, **SETTINGS)
    variables = environment(database_url, directory, **SETTINGS)
    over = threading.Event()
    kills = [0]
    running: list[Process] = []

    def start_worker() -> None:
        running[:] = [Process(["worker"], variables, directory / "worker.log")]

    def kill() -> None:
        while not over.wait(seconds):
            running[0].kill()
            server.kill()
            kills[0] += 1
            start_worker()
            with suppress(OSError):
                server.start()

    server.start()
    start_worker()
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        numbers = storm(server, str(hooks.api.key), events)
        deadline = time.monotonic() + 60
        while kills[0] < least_kills and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        over.set()
        killer.join()
        running[0].kill()
        server.kill()
    assert kills[0] >= least_kills
    # what the dead ones held is due again when their leases have ended
    hooks.clock.time = datetime.now(UTC) + outbox.LEASE
    for _ in range(20):
        hooks.drain()
        hooks.clock.turn(seconds=10)
    return numbers, kills[0]


def test_a_kill_of_server_and_worker_loses_no_event(hooks: Receivers, database_url: str, tmp_path: Path) -> None:
    killed_again_and_again(hooks, database_url, tmp_path, events=40, seconds=1.0, least_kills=1)


@pytest.mark.soak
def test_500_events_while_server_and_worker_are_killed_every_three_seconds(
    hooks: Receivers, database_url: str, tmp_path: Path
) -> None:
    killed_again_and_again(hooks, database_url, tmp_path, events=500, seconds=3.0, least_kills=3)


def test_a_worker_that_dies_after_it_sent_sends_again_under_the_same_id(
    hooks: Receivers, database_url: str, tmp_path: Path
) -> None:
    """It is killed while the receiver holds its answer back: the request arrived, and nothing was written down."""
    arrived = threading.Event()
    script = Script(wait=lambda: arrived.set() or time.sleep(0 if len(script.got) > 1 else 5))
    hook = hooks.hook(script=script, secret=SECRET)
    hooks.ticket()
    process = Process(["worker"], environment(database_url, tmp_path, **SETTINGS), tmp_path / "worker.log")
    try:
        assert arrived.wait(60), process.log.read_text()
    finally:
        process.kill()
    hooks.clock.time = datetime.now(UTC)
    hooks.drain()
    assert len(script.got) == 1, "the lease of the dead one has not ended"
    hooks.clock.time += outbox.LEASE + timedelta(seconds=1)
    hooks.drain()
    assert len(script.got) == 2
    assert len({got.headers["webhook-id"] for got in script.got}) == 1
    assert hooks.one(hook)["state"] == "succeeded"
