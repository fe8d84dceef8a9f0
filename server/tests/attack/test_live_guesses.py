"""Passwords guessed, and the first administrator raced for, against a server in processes of its own.

Shown by taking the defence out: with `attempts.counting` counting nothing, the first goes on to ten thousand answers of
401; without `accounts.lock` in `registration_api`, the second makes two administrators on PostgreSQL.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from conftest import Api, TurnedClock
from crash.crash_servers import Server, served, together
from deskplane.kernel.revision import raise_revision
from deskplane.login import attempts, registration_api
from deskplane.people.models import User
from login_help import WORD

pytestmark = pytest.mark.feature("F208")
PAGE = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}


def send(
    server: Server, method: str, path: str, body: Any = None, *, address: str = "127.0.0.1", **headers: str
) -> tuple[int, http.client.HTTPMessage]:
    """One request from an address of this machine: its status and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60, source_address=(address, 0))
    try:
        sent = PAGE | {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), sent)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers
    finally:
        connection.close()


def address(number: int) -> str:
    """One of many, all of this machine."""
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def guessed(api: Api, url: str, directory: Path, count: int) -> None:
    """So many guesses, each from an address of its own, while the owner and others go on with their work."""
    api.apply("users", username="mia", roles=["agent"], password=WORD)
    statuses: Counter[int] = Counter()
    # what is shown is the limit on guesses, not that on requests
    more = {"requests_per_minute_per_key": "1000000", "requests_per_minute_per_address": "1000000"}
    with served(url, directory, **more) as server:
        status, headers = send(server, "POST", "/session", {"username": "mia", "password": WORD})
        assert status == 201
        device = next(one for one in headers.get_all("Set-Cookie", []) if one.startswith("deskplane-device"))
        quiet = reads(server, str(api.key), 30)
        done = threading.Event()
        busy: list[float] = []
        owner: list[int] = []

        def others() -> None:
            while not done.is_set():
                busy.extend(reads(server, str(api.key), 1))
                time.sleep(0.02)

        def herself() -> None:
            while not done.wait(0.5):
                body = {"username": "mia", "password": WORD}
                owner.append(send(server, "POST", "/session", body, Cookie=device.partition(";")[0])[0])

        threads = [threading.Thread(target=work) for work in (others, herself)]
        for thread in threads:
            thread.start()

        def guess(number: int) -> None:
            body = {"username": "mia", "password": f"guess number {number}"}
            statuses[send(server, "POST", "/session", body, address=address(number))[0]] += 1

        begun = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(guess, range(count)))
        seconds = time.monotonic() - begun
        done.set()
        for thread in threads:
            thread.join()
        assert send(server, "POST", "/session", {"username": "mia", "password": WORD}, Cookie=device)[0] == 201
    at_most = attempts.PER_ACCOUNT[0].limit * (1 + int(seconds // attempts.QUARTER))
    print(
        f"{count} guesses in {seconds:.0f} s: {dict(statuses)}; the owner: {Counter(owner)}; "
        f"a read took {middle(quiet) * 1000:.0f} ms before and {middle(busy) * 1000:.0f} ms meanwhile"
    )
    assert set(statuses) <= {401, 429, 503}, statuses
    assert 0 < statuses[401] <= at_most, statuses
    assert set(owner) == {201}, "the owner gets in all the while"
    assert middle(busy) < 1, "others are served all the while"


def middle(seconds: list[float]) -> float:
    """The median."""
    return sorted(seconds)[len(seconds) // 2]


def reads(server: Server, key: str, count: int) -> list[float]:
    """What so many reads take."""
    found = []
    for _ in range(count):
        begun = time.monotonic()
        assert send(server, "GET", "/tickets", Authorization=f"Bearer {key}")[0] == 200
        found.append(time.monotonic() - begun)
    return found


@pytest.mark.only_on("sqlite")
@pytest.mark.provokes(503)
def test_guesses_from_many_addresses_are_stopped_and_hurt_nobody(api: Api, database_url: str, tmp_path: Path) -> None:
    guessed(api, database_url, tmp_path, 200)


@pytest.mark.soak
@pytest.mark.provokes(503)
def test_ten_thousand_guesses_from_as_many_addresses_are_stopped_and_hurt_nobody(
    api: Api, database_url: str, tmp_path: Path
) -> None:
    guessed(api, database_url, tmp_path, 10_000)


@pytest.mark.only_on("postgresql")
@pytest.mark.provokes(503)
def test_of_twenty_first_registrations_with_one_token_at_two_processes_one_makes_the_administrator(
    api: Api, clock: TurnedClock, database_url: str, tmp_path: Path
) -> None:
    """Who is told that too many log in at once (503) asks again."""

    clock.time = datetime.now(UTC)  # as it is for the server

    def work(session: Any) -> str:
        raise_revision(session)
        session.execute(delete(User).where(User.username == "root"))
        return registration_api.make_setup_token(api.desk.command_line(session))

    token = api.desk.database.run(work, write=True)
    with served(database_url, tmp_path) as server:

        def register(number: int) -> int:
            body = {"username": f"boss{number}", "password": WORD, "setup_token": token}
            while (status := send(server, "POST", "/registration", body, address=address(number))[0]) == 503:
                time.sleep(0.1)
            return status

        statuses = Counter(together(20, register))
    assert statuses[201] == 1, statuses
    assert set(statuses) <= {201, 409, 422}, statuses
    with api.desk.database.transaction(write=False) as session:
        assert len(session.execute(select(User.id)).all()) == 1
