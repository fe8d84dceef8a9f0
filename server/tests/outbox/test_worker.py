"""The outbox and its workers: nothing is lost, nothing is done by two at once, periodic jobs run once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from conftest import TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.outbox import service
from deskplane.outbox.models import Heartbeat, Schedule
from deskplane.outbox.schedules import Job
from deskplane.outbox.service import Claimed
from deskplane.outbox.worker import Worker
from worker_help import drain, rows, running, wait_for


def put(desk: Desk, *payloads: dict[str, Any], topic: str = "test") -> None:
    def write(session: Session) -> None:
        for payload in payloads:
            service.put(desk.command_line(session), topic, payload)

    desk.database.run(write, write=True)


def worker(desk: Desk, handler: Callable[[Claimed], None], jobs: list[Job] | None = None) -> Worker:
    return Worker(desk.database, desk.clock, {"test": handler}, jobs or [], idle_seconds=0.02)


def test_messages_are_dealt_with_in_their_order_and_once(desk: Desk) -> None:
    put(desk, *({"n": index} for index in range(45)))
    seen: list[int] = []
    found = worker(desk, lambda message: seen.append(message.payload["n"]))
    drain(found)
    drain(found)
    assert seen == list(range(45))
    assert rows(desk) == []


def test_a_message_of_a_transaction_that_failed_is_never_there(desk: Desk) -> None:
    def write(session: Session) -> None:
        service.put(desk.command_line(session), "test", {})
        raise RuntimeError("something else went wrong")

    with pytest.raises(RuntimeError):
        desk.database.run(write, write=True)
    assert rows(desk) == []


def test_a_message_that_failed_is_tried_again_later_and_says_why(desk: Desk, clock: TurnedClock) -> None:
    put(desk, {"n": 1})
    times: list[float] = []

    def fail(message: Claimed) -> None:
        times.append((clock.now() - message.created_at).total_seconds())
        raise ConnectionError("nobody answers")

    found = worker(desk, fail)
    for _ in range(60):
        drain(found)
        clock.turn(seconds=5)
    assert times == [0, 5, 15, 35, 75, 155]
    (row,) = rows(desk)
    assert row.attempts == len(times)
    assert row.lease_owner is None
    assert "nobody answers" in (row.last_error or "")
    clock.turn(hours=1)
    done: list[int] = []
    drain(worker(desk, lambda message: done.append(message.id)))
    assert done == [row.id]
    assert rows(desk) == []


def test_a_topic_that_nobody_handles_waits_for_a_worker_that_does(desk: Desk, clock: TurnedClock) -> None:
    put(desk, {}, topic="of a later version")
    drain(worker(desk, lambda message: None))
    (row,) = rows(desk)
    assert "of a later version" in (row.last_error or "")


def test_one_failing_message_stops_no_other(desk: Desk) -> None:
    put(desk, *({"n": index} for index in range(5)))
    seen: list[int] = []

    def handle(message: Claimed) -> None:
        if message.payload["n"] == 2:
            raise ValueError("two")
        seen.append(message.payload["n"])

    drain(worker(desk, handle))
    assert seen == [0, 1, 3, 4]
    assert [row.payload["n"] for row in rows(desk)] == [2]


def test_what_a_dead_worker_held_is_found_again_when_its_lease_ends_and_completed_once(
    desk: Desk, clock: TurnedClock
) -> None:
    put(desk, {"n": 1})
    (held,) = desk.database.run(lambda session: service.claim(session, "dead", clock.now()), write=True)
    seen: list[int] = []
    found = worker(desk, lambda message: seen.append(message.attempts))
    drain(found)
    assert seen == [], "the lease is another's"
    clock.turn(seconds=service.LEASE.total_seconds() + 1)
    (again,) = desk.database.run(lambda session: service.claim(session, "alive", clock.now()), write=True)
    assert (again.id, again.attempts) == (held.id, 2)
    # the one that was thought dead wakes up: it must not take the message from the one that has it
    assert desk.database.run(lambda session: service.complete(session, "dead", held.id), write=True) is False
    desk.database.run(lambda session: service.postpone(session, "dead", held, "late", clock.now()), write=True)
    (row,) = rows(desk)
    assert (row.lease_owner, row.last_error) == ("alive", None)
    assert desk.database.run(lambda session: service.complete(session, "alive", held.id), write=True) is True
    assert rows(desk) == []


def test_two_workers_of_one_process_have_names_of_their_own(desk: Desk) -> None:
    """After a crash in a container, host and process number are the same as before: the fence must tell them apart."""
    assert worker(desk, lambda message: None).name != worker(desk, lambda message: None).name


def test_several_workers_share_the_messages_and_do_none_twice(desk: Desk) -> None:
    put(desk, *({"n": index} for index in range(120)))
    seen: list[int] = []
    with running(*(worker(desk, lambda message: seen.append(message.payload["n"])) for _ in range(3))):
        wait_for(lambda: rows(desk) == [])
    assert sorted(seen) == list(range(120))


def test_a_periodic_job_runs_once_a_period_however_many_workers_there_are(desk: Desk, clock: TurnedClock) -> None:
    runs: list[object] = []
    job = Job("test", timedelta(minutes=10), lambda session: runs.append(clock.now()))
    started = clock.now()

    def has_run(times: int) -> bool:
        return len(runs) >= times

    with running(*(worker(desk, lambda message: None, [job]) for _ in range(3))):
        wait_for(lambda: beats(desk) == 3 and scheduled(desk))
        assert runs == [], "the first period has only begun"
        for period in range(1, 4):
            clock.turn(minutes=10, seconds=1)
            wait_for(partial(has_run, period))
            clock.turn(seconds=15)
            time.sleep(0.3)
            assert len(runs) == period
    assert runs[0] == started + timedelta(minutes=10, seconds=1)


def scheduled(desk: Desk) -> bool:
    with desk.database.transaction(write=False) as session:
        return session.execute(select(Schedule.name)).first() is not None


def beats(desk: Desk) -> int:
    with desk.database.transaction(write=False) as session:
        return service.workers_alive(session, desk.clock.now())


def test_a_worker_is_seen_while_it_runs_and_leaves_when_it_stops(desk: Desk, clock: TurnedClock) -> None:
    with running(worker(desk, lambda message: None)):
        wait_for(lambda: beats(desk) == 1)
    assert beats(desk) == 0


def test_a_clock_that_is_set_back_stops_no_worker(desk: Desk, clock: TurnedClock) -> None:
    with running(worker(desk, lambda message: None)):
        wait_for(lambda: beats(desk) == 1)
        clock.turn(days=-1)
        wait_for(lambda: seen_at(desk) == {clock.now()})


def seen_at(desk: Desk) -> set[object]:
    with desk.database.transaction(write=False) as session:
        return set(session.execute(select(Heartbeat.seen_at)).scalars())


@pytest.mark.provokes("worker could not work")
def test_a_worker_outlives_a_database_that_is_away(
    desk: Desk, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = worker(desk, lambda message: None)
    failures: list[int] = []
    real = found.begin_once

    def away() -> int:
        if not failures:
            failures.append(1)
            raise ConnectionError("the database is away")
        return real()

    monkeypatch.setattr(found, "begin_once", away)
    put(desk, {"n": 1})
    with running(found):
        wait_for(lambda: rows(desk) == [])
    assert failures


def test_expired_idempotency_keys_are_forgotten_by_the_worker(desk: Desk, clock: TurnedClock) -> None:
    from deskplane.kernel.idempotency import StoredAnswer, store

    desk.database.run(
        lambda session: store(
            session, caller="c", key="k", request="r", status=201, body=b"{}", headers={}, now=clock.now()
        ),
        write=True,
    )

    def kept() -> int:
        with desk.database.transaction(write=False) as session:
            return len(session.execute(select(StoredAnswer)).all())

    with running(make_worker(desk)):
        wait_for(lambda: beats(desk) == 1)
        clock.turn(hours=23)
        time.sleep(1.2)
        assert kept() == 1
        clock.turn(hours=2)
        wait_for(lambda: kept() == 0)


STOPPED_ANYWHERE = """
import signal
from contextlib import contextmanager

from deskplane.kernel.clock import SystemClock
from deskplane.outbox import service
from deskplane.outbox.worker import Worker


class NoDatabase:
    def run(self, work, *, write):
        pass

    @contextmanager
    def transaction(self, *, write):
        yield None


service.is_due = lambda session, now, room: False
for turn in range(4_000):
    worker = Worker(NoDatabase(), SystemClock(), {}, [], idle_seconds=0.000_05)
    signal.signal(signal.SIGALRM, lambda *_: worker.stop())
    signal.setitimer(signal.ITIMER_REAL, 0.000_3 + turn % 97 * 0.000_001)
    worker.run()
"""


def test_a_worker_can_be_stopped_at_any_moment(tmp_path: Path) -> None:
    """A signal handler runs between any two steps of the interpreter, also while a lock is held that it asks for."""
    program = tmp_path / "stopped.py"
    program.write_text(STOPPED_ANYWHERE)
    subprocess.run([sys.executable, program], check=True, timeout=60, capture_output=True)
