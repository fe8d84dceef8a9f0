"""A database that someone else holds, a server that is asked to stop, and a worker that dies at its work."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from crash_servers import Process, environment, served, together
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.engine import make_url

from conftest import Api, TurnedClock, settings
from deskplane.app import Desk, create_app, make_desk, make_worker
from deskplane.kernel.problem import Problem
from deskplane.outbox import service as outbox
from deskplane.outbox.models import Heartbeat, Message
from deskplane.tickets import service
from deskplane.tickets.models import Ticket

BOUND = 2.0


@contextmanager
def held_from_outside(url: str) -> Iterator[Callable[[], None]]:
    """Another program holds the database so that nobody can open a ticket; what is yielded lets go."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(str(make_url(url).database), isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield lambda: connection.rollback()
        finally:
            connection.close()
        return
    engine = create_engine(url)
    with engine.connect() as holder:
        holder.execute(text("LOCK TABLE ticket_counters IN EXCLUSIVE MODE"))
        yield lambda: holder.rollback()
    engine.dispose()


@pytest.mark.provokes(503)
def test_writers_of_a_held_database_are_told_so_in_time_and_readers_go_on(api: Api, database_url: str) -> None:
    api.call("POST", "/tickets", {"title": "there"}, status=201)
    desk = make_desk(settings(database_url, busy_seconds=BOUND))
    app = create_app(desk)
    callers = [Api(app.test_client(), api.key, desk) for _ in range(8)]

    def write(index: int) -> tuple[int, str | None, float]:
        time.sleep(index * BOUND / len(callers))  # so that some have their turn when they waited for half of it
        begun = time.monotonic()
        answer = callers[index].request("POST", "/tickets", {"title": "x"})
        return answer.status_code, answer.headers.get("Retry-After"), time.monotonic() - begun

    with held_from_outside(database_url):
        reads: list[float] = []
        stop = threading.Event()

        def reader() -> None:
            while not stop.is_set():
                begun = time.monotonic()
                assert api.request("GET", "/tickets").status_code == 200
                reads.append(time.monotonic() - begun)
                time.sleep(0.05)

        thread = threading.Thread(target=reader)
        thread.start()
        answers = together(len(callers), write)
        stop.set()
        thread.join()
    assert {(status, after) for status, after, _seconds in answers} == {(503, "2")}
    assert max(seconds for *_others, seconds in answers) < 1.4 * BOUND, "the bound is on the whole wait"
    assert len(reads) > 5
    assert max(reads) < BOUND
    assert callers[0].call("POST", "/tickets", {"title": "again"}, status=201)["number"] == "TKT-000002"
    desk.database.dispose()


def test_writers_wait_for_a_database_that_is_held_for_a_moment(api: Api, database_url: str) -> None:
    with held_from_outside(database_url) as let_go:
        timer = threading.Timer(0.7, let_go)
        timer.start()
        api.call("POST", "/tickets", {"title": "x"}, status=201)
        timer.join()


def test_sigterm_lets_requests_in_flight_end(api: Api, desk: Desk, database_url: str, tmp_path: Path) -> None:
    with served(database_url, tmp_path) as server, held_from_outside(database_url) as let_go:
        answers: list[tuple[int, Any]] = []

        def send() -> None:
            status, _headers, found = server.request("POST", "/api/v1/tickets", {"title": "in flight"}, str(api.key))
            answers.append((status, found))

        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        assert server.process is not None
        stopped: list[int] = []
        stopping = threading.Thread(target=lambda: stopped.append(server.process.terminate(60)))
        stopping.start()
        time.sleep(1)
        let_go()
        for thread in threads:
            thread.join()
        stopping.join()
    assert [status for status, _found in answers] == [201] * 4
    assert stopped == [0]
    numbers = {found["number"] for _status, found in answers}
    assert numbers == {f"TKT-00000{index}" for index in range(1, 5)}
    assert {ticket["number"] for ticket in api.call("GET", "/tickets")["items"]} == numbers


@pytest.mark.provokes(503)
@pytest.mark.only_on("sqlite")
def test_who_comes_to_a_server_that_stops_is_served_or_refused(api: Api, database_url: str, tmp_path: Path) -> None:
    with served(database_url, tmp_path, workers=1, drain_seconds="2") as server:
        assert server.process is not None
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)  # a connection that is kept holds it up
        kept.request("GET", "/readyz")
        assert kept.getresponse().read()
        found: Counter[str] = Counter()
        told: list[Any] = []
        gone = threading.Event()

        def come(_index: int) -> None:
            while not gone.is_set():
                try:
                    client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
                except ConnectionRefusedError:
                    found["refused"] += 1
                    time.sleep(0.02)
                    continue
                with client:
                    try:
                        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        found["served" if client.recv(12) == b"HTTP/1.1 200" else "lost"] += 1
                    except OSError:
                        found["lost"] += 1

        def stop(_index: int) -> None:
            time.sleep(0.2)
            assert server.process is not None
            stopping = threading.Thread(target=server.process.terminate, args=(60,))
            stopping.start()
            while (ready := server.request("GET", "/readyz", None))[0] == 200:
                time.sleep(0.02)
            told.extend([ready[0], ready[2]["type"]])
            told.append(server.request("POST", "/api/v1/tickets", {"title": "late"}, str(api.key))[0])
            stopping.join()
            gone.set()

        together(5, lambda index: stop(index) if index == 0 else come(index))
        assert server.process.popen.returncode == 0
    assert told == [503, "urn:deskplane:problem:stopping", 201], "it says so, and serves on for a while"
    assert found["refused"] > 10, "its door is closed before its last connection is"
    assert (found["served"] > 10, found["lost"]) == (True, 0)


def with_policy(desk: Desk) -> int:
    with desk.database.transaction(write=False) as session:
        return int(session.execute(select(func.count(Ticket.sla_policy_id))).scalar_one())


def left(desk: Desk) -> list[tuple[str, str | None, int]]:
    with desk.database.transaction(write=False) as session:
        rows = session.execute(select(Message.topic, Message.lease_owner, Message.attempts))
        return [(row.topic, row.lease_owner, row.attempts) for row in rows if row.topic == "tickets.recalculate"]


def test_what_a_killed_worker_was_doing_is_done_by_the_next_one(
    api: Api, desk: Desk, clock: TurnedClock, database_url: str, tmp_path: Path
) -> None:
    count = 1200

    def many(session: Any) -> None:
        work = desk.command_line(session)
        for index in range(count):
            service.open_ticket(work, {"title": f"t{index}"})

    desk.database.run(many, write=True)
    desk.database.run(lambda session: session.execute(text("DELETE FROM outbox")), write=True)
    api.apply("sla-policies", name="p", resolution_minutes=60)
    process = Process(["worker"], environment(database_url, tmp_path), tmp_path / "worker.log")
    try:
        deadline = time.monotonic() + 60
        while not with_policy(desk):
            assert time.monotonic() < deadline, process.log.read_text()
            time.sleep(0.005)
    finally:
        process.kill()
    assert 0 < with_policy(desk) < count, "it was killed in the middle"
    ((_topic, owner, attempts),) = left(desk)
    assert (bool(owner), attempts) == (True, 1)
    clock.time = datetime.now(UTC)
    worker = make_worker(desk)
    assert worker.drain_once() == 0, "the lease of the dead one has not ended"
    clock.time += timedelta(minutes=2)
    while worker.drain_once():
        pass
    assert with_policy(desk) == count
    assert left(desk) == []
    with desk.database.transaction(write=False) as session:
        entries = session.execute(
            text("SELECT count(*), count(DISTINCT ticket_id) FROM ticket_history WHERE field = 'sla_policy'")
        ).one()
    assert tuple(entries) == (count, count), "each ticket got its policy once"


def test_a_worker_stops_when_it_is_asked_to(desk: Desk, database_url: str, tmp_path: Path) -> None:
    process = Process(["worker"], environment(database_url, tmp_path), tmp_path / "worker.log")
    deadline = time.monotonic() + 60

    def seen() -> int:
        with desk.database.transaction(write=False) as session:
            return int(session.execute(select(func.count()).select_from(Heartbeat)).scalar_one())

    try:
        while not seen():
            assert time.monotonic() < deadline, process.log.read_text()
            time.sleep(0.02)
        assert process.terminate() == 0
    finally:
        process.kill()
    assert seen() == 0


def cut_connections(url: str) -> None:
    """Ends every connection to a PostgreSQL database, as its restart does."""
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    engine.dispose()


@pytest.mark.only_on("postgresql")
def test_connections_that_are_cut_are_replaced(api: Api, database_url: str) -> None:
    api.call("POST", "/tickets", {"title": "x"}, status=201)
    cut_connections(database_url)
    assert api.call("POST", "/tickets", {"title": "y"}, status=201)["number"] == "TKT-000002"
    assert len(api.call("GET", "/tickets")["items"]) == 2


@pytest.mark.only_on("postgresql")
def test_a_transaction_whose_connection_was_cut_runs_anew_unless_it_may_be_stored(
    desk: Desk, database_url: str
) -> None:
    runs: list[str] = []

    def cut_in_the_middle(session: Any) -> None:
        runs.append("middle")
        outbox.put(desk.command_line(session), "test", {})
        if len(runs) == 1:
            cut_connections(database_url)
            outbox.put(desk.command_line(session), "test", {})

    desk.database.run(cut_in_the_middle, write=True)
    assert runs == ["middle"] * 2

    def cut_before_the_commit(session: Any) -> None:
        runs.append("end")
        outbox.put(desk.command_line(session), "test", {})
        cut_connections(database_url)

    with pytest.raises(Problem) as caught:
        desk.database.run(cut_before_the_commit, write=True)
    assert (caught.value.status, caught.value.code) == (503, "outcome_unknown")
    assert runs.count("end") == 1, "it could have been stored: run anew, it could be done twice"
    with desk.database.transaction(write=False) as session:
        assert session.execute(select(func.count()).select_from(Message)).scalar_one() == 1


def test_a_server_process_that_ends_takes_nothing_from_the_others(api: Api, database_url: str, tmp_path: Path) -> None:
    """The processes share the folder in which their metrics meet: it goes with the first of them, not with the last."""
    with served(database_url, tmp_path, workers=1) as server:
        assert server.process is not None
        children = Path(f"/proc/{server.process.popen.pid}/task/{server.process.popen.pid}/children")
        first, status = children.read_text().split(), 0
        os.kill(int(first[0]), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and (not children.read_text() or children.read_text().split() == first):
            time.sleep(0.05)
        while time.monotonic() < deadline:
            try:
                status, _headers, _found = server.request("POST", "/api/v1/tickets", {"title": "after"}, str(api.key))
                break
            except OSError:
                time.sleep(0.05)
        assert status == 201
