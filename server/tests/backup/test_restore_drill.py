"""The drill: a backup is taken while people work, everything is deleted, and the desk is restored on a fresh root."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backup_help import opened

from conftest import SECRET, Api, Postgres, TurnedClock, settings
from deskplane.app import Desk, create_app, make_desk
from dumps import dump
from test_cli import Terminal, failure

PEOPLE = 2


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    found = Terminal()
    yield found
    found.process.communicate(timeout=30)


@pytest.fixture
def fresh_url(database_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is nothing yet, of the same sort."""
    if database_url.startswith("sqlite"):
        (tmp_path / "fresh").mkdir()
        return f"sqlite:///{tmp_path / 'fresh' / 'desk.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new()


def attached(api: Api, number: str, data: bytes) -> str:
    """Adds a file; answers its address."""
    headers = {"Content-Type": "application/octet-stream"}
    answer = api.request("POST", f"/tickets/{number}/attachments?name=a.bin", data=data, headers=headers)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return f"/tickets/{number}/attachments/{answer.get_json()['id']}"


def everything(api: Api, path: str) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = api.call("GET", f"{path}?limit=200{cursor}")
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def drilled(
    api: Api, desk: Desk, url: str, fresh_url: str, directory: Path, terminal: Terminal, *, tickets: int, files: int
) -> None:
    chance = random.Random(11)
    variables = {"DESKPLANE_SECRET_KEY": SECRET, "DESKPLANE_ENVIRONMENT": "test"}
    api.apply("customers", name="ACME", number_prefix="AC")
    api.apply("sla-policies", name="gold", resolution_minutes=60)
    api.apply("departments", name="Support", smtp={"server": "smtp.example.org", "password": "of the mailbox"})
    keeper = api.as_user("keeper", roles=["agent"])
    before = [opened(api, f"t{index}", customer=("ACME", None)[index % 2])["number"] for index in range(tickets)]
    hashes = {}
    for index in range(files):
        data = chance.randbytes(chance.choice((1, 70_000, 700_000)))
        hashes[attached(api, before[index % tickets], data)] = hashlib.sha256(data).hexdigest()
    shown = {ticket["number"]: ticket for ticket in everything(api, "/tickets")}
    export = api.call("GET", "/configuration")

    stop, counter = threading.Event(), itertools.count()
    later: list[str] = []

    def work() -> None:
        mine = Api(api.client.application.test_client(), api.key, desk)
        while not stop.is_set():
            later.append(opened(mine, f"meanwhile {next(counter)}")["number"])

    people = [threading.Thread(target=work) for _ in range(PEOPLE)]
    for person in people:
        person.start()
    try:
        while len(later) < PEOPLE:
            stop.wait(0.01)
        acknowledged = list(later)
        file = directory / "desk.tar.gz"
        made = terminal("backup", str(file), url=url, **variables)
        assert made.returncode == 0, made.stderr
    finally:
        stop.set()
        for person in people:
            person.join()

    # one byte is another one: refused, and neither the fresh root nor the desk that is there is touched
    flipped = bytearray(file.read_bytes())
    flipped[chance.randrange(len(flipped))] ^= 0x40
    bad = directory / "flipped.tar.gz"
    bad.write_bytes(flipped)
    there = dump(desk)
    for target, options in ((fresh_url, []), (url, ["--overwrite"])):
        failure(terminal("restore", str(bad), *options, url=target, **variables))
    assert dump(desk) == there
    if fresh_url.startswith("sqlite"):
        assert not [path for path in (directory / "fresh").iterdir() if path.stat().st_size], "it is as empty as it was"

    # everything is deleted
    desk.database.dispose()
    if url.startswith("sqlite"):
        for path in directory.glob("desk.db*"):
            os.unlink(path)
    done = terminal("restore", str(file), url=fresh_url, **variables)
    assert (done.returncode, done.stderr[:9]) == (0, "restored "), done.stderr
    again = make_desk(settings(fresh_url), desk.clock)
    back = Api(create_app(again).test_client(), api.key, again)
    assert back.call("GET", "/configuration") == export
    found = {ticket["number"]: ticket for ticket in everything(back, "/tickets")}
    assert {number: found[number] for number in shown} == shown
    extra = set(found) - set(shown)
    assert set(acknowledged) <= extra <= set(later), (
        "what was acknowledged before the backup began, and nothing made up"
    )
    for address, digest in hashes.items():
        assert hashlib.sha256(back.request("GET", address).data).hexdigest() == digest
    assert Api(back.client, keeper.key, again).request("GET", "/tickets").status_code == 200
    for prefix, more in (("AC", {"customer": "ACME"}), ("TKT", {})):
        highest = max(int(number.rpartition("-")[2]) for number in found if number.startswith(prefix))
        assert opened(back, "next", **more)["number"] == f"{prefix}-{highest + 1:06d}"
    again.database.dispose()


def test_a_desk_is_restored_on_a_fresh_root(
    api: Api, desk: Desk, clock: TurnedClock, database_url: str, fresh_url: str, tmp_path: Path, terminal: Terminal
) -> None:
    drilled(api, desk, database_url, fresh_url, tmp_path, terminal, tickets=10, files=6)


@pytest.mark.soak
def test_a_large_desk_is_restored_on_a_fresh_root(
    api: Api, desk: Desk, clock: TurnedClock, database_url: str, fresh_url: str, tmp_path: Path, terminal: Terminal
) -> None:
    drilled(api, desk, database_url, fresh_url, tmp_path, terminal, tickets=3000, files=300)
