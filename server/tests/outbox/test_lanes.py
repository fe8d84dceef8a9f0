"""Lanes of the outbox: one at a time in a lane, many lanes at once, and nobody waits for someone else's dead end."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.outbox import service
from deskplane.outbox.models import Message
from deskplane.outbox.service import Claimed, Room
from deskplane.outbox.worker import Worker
from worker_help import drain, rows, running, wait_for


def put(desk: Desk, lane: str | None, *numbers: int, **options: Any) -> None:
    def write(session: Session) -> None:
        for number in numbers:
            service.put(desk.command_line(session), "test", {"n": number}, lane=lane, **options)

    desk.database.run(write, write=True)


def claim(desk: Desk, owner: str = "w", **options: Any) -> list[tuple[str | None, int]]:
    found = desk.database.run(lambda session: service.claim(session, owner, desk.clock.now(), **options), write=True)
    return [(message.lane, message.payload["n"]) for message in found]


def test_of_a_lane_one_message_is_taken_and_of_no_lane_as_many_as_there_is_room_for(desk: Desk) -> None:
    put(desk, "b", 1, 2, 3)
    put(desk, "a", 4, 5)
    put(desk, None, 6, 7, 8)
    assert claim(desk, limit=2) == [("b", 1), ("a", 4), (None, 6), (None, 7)]
    assert claim(desk) == [(None, 8)]
    assert claim(desk, "another worker") == []
    with desk.database.transaction(write=False) as session:
        assert service.is_due(session, desk.clock.now()) is False, "what may not be taken is nothing to wake up for"


def test_the_lane_is_free_again_when_its_message_is_done_or_its_lease_ends(desk: Desk, clock: TurnedClock) -> None:
    put(desk, "a", 1, 2)
    assert claim(desk) == [("a", 1)]
    clock.turn(seconds=service.LEASE.total_seconds() - 1)
    assert claim(desk, "v") == []
    clock.turn(seconds=1)
    assert claim(desk, "v") == [("a", 2)], "the one that has been due for longest goes first"
    (first, second) = rows(desk)
    desk.database.run(lambda session: service.complete(session, "v", second.id), write=True)
    assert claim(desk, "v") == [("a", 1)]
    assert first.payload == {"n": 1}


def test_no_more_lanes_are_taken_than_there_are_threads_and_of_slow_ones_fewer(desk: Desk) -> None:
    for index in range(6):
        put(desk, f"lane {index}", index)
    slow = frozenset({"lane 0", "lane 1"})
    assert claim(desk, room=Room(0)) == []
    assert claim(desk, room=Room(2, slow, 1)) == [("lane 2", 2), ("lane 3", 3)]
    assert claim(desk, room=Room(9, slow, 0)) == [("lane 4", 4), ("lane 5", 5)]
    with desk.database.transaction(write=False) as session:
        found = [service.is_due(session, desk.clock.now(), Room(9, slow, most)) for most in (0, 1)]
        assert found == [False, True]
    assert claim(desk, room=Room(9, slow, 1)) == [("lane 0", 0)]
    assert claim(desk) == [("lane 1", 1)]


def test_what_was_put_for_later_waits_and_holds_nobody_back(desk: Desk, clock: TurnedClock) -> None:
    put(desk, "a", 1, available_at=clock.now() + timedelta(hours=1))
    put(desk, "a", 2)
    seen: list[int] = []
    worker = Worker(desk.database, desk.clock, {"test": lambda message: seen.append(message.payload["n"])}, [])
    drain(worker)
    assert seen == [2]
    clock.turn(minutes=59)
    drain(worker)
    assert seen == [2]
    clock.turn(minutes=1)
    drain(worker)
    assert seen == [2, 1]


def test_a_message_that_failed_lets_those_behind_it_pass(desk: Desk, clock: TurnedClock) -> None:
    put(desk, "a", 1, 2, 3)
    seen: list[int] = []

    def handle(message: Claimed) -> None:
        seen.append(message.payload["n"])
        if message.payload["n"] == 1 and message.attempts == 1:
            raise ConnectionError("nobody answers")

    worker = Worker(desk.database, desk.clock, {"test": handle}, [])
    drain(worker)
    assert seen == [1, 2, 3]
    clock.turn(seconds=5)
    drain(worker)
    assert seen == [1, 2, 3, 1]
    assert rows(desk) == []


def test_never_two_of_a_lane_at_once_however_many_workers_there_are(desk: Desk) -> None:
    lock = threading.Lock()
    inside: dict[str | None, int] = defaultdict(int)
    most: dict[str | None, int] = defaultdict(int)
    order: dict[str | None, list[int]] = defaultdict(list)
    together = [0]

    def handle(message: Claimed) -> None:
        with lock:
            inside[message.lane] += 1
            most[message.lane] = max(most[message.lane], inside[message.lane])
            together[0] = max(together[0], sum(inside.values()))
            order[message.lane].append(message.payload["n"])
        time.sleep(0.004)
        with lock:
            inside[message.lane] -= 1

    lanes = [f"lane {index}" for index in range(5)]
    for index in range(12):
        for lane in lanes:
            put(desk, lane, index)
    with running(*(Worker(desk.database, desk.clock, {"test": handle}, [], idle_seconds=0.01) for _ in range(3))):
        wait_for(lambda: rows(desk) == [])
    assert most == dict.fromkeys(lanes, 1)
    assert order == {lane: list(range(12)) for lane in lanes}, "each once, in the order in which they came"
    assert together[0] > 1, "lanes do not wait for each other"


@pytest.mark.parametrize("count", [3, 6])
def test_dead_ends_delay_nobody_else_also_where_they_are_more_than_threads(
    desk: Desk, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the threads is kept for lanes that are quick, once it is known which are not."""
    monkeypatch.setattr("deskplane.outbox.worker.SLOW", 1.0)
    known, release = threading.Event(), threading.Event()
    done: list[int] = []

    def handle(message: Claimed) -> None:
        if message.lane is None or message.lane == "quick":
            done.append(message.payload["n"])
        elif known.is_set():
            release.wait(20)
        else:
            time.sleep(1.1)

    def fill() -> None:
        for index in range(count):
            put(desk, f"dead {index}", 0)

    fill()
    worker = Worker(desk.database, desk.clock, {"test": handle}, [], idle_seconds=0.01, threads=4)
    try:
        with running(worker):
            wait_for(lambda: rows(desk) == [])
            known.set()
            fill()
            time.sleep(0.3)  # until every thread that may has run into one
            for index in range(20):
                put(desk, "quick", index)
            put(desk, None, 20)
            wait_for(lambda: len(done) == 21, 5)
            assert not release.is_set()
            release.set()
    finally:
        release.set()
    assert sorted(done) == list(range(21))


def test_a_worker_keeps_what_it_is_still_at(desk: Desk, clock: TurnedClock) -> None:
    put(desk, "a", 1)
    begun, release = threading.Event(), threading.Event()

    def handle(message: Claimed) -> None:
        begun.set()
        release.wait(20)

    with running(Worker(desk.database, desk.clock, {"test": handle}, [], idle_seconds=0.01)):
        assert begun.wait(10)
        for _ in range(5):
            before = rows(desk)[0].available_at
            clock.turn(seconds=40)
            wait_for(lambda before=before: rows(desk)[0].available_at > before)  # type: ignore[misc]
        assert claim(desk, "another") == []
        release.set()
        wait_for(lambda: rows(desk) == [])


def test_a_worker_that_stops_lets_what_is_in_hand_end_and_leaves_nothing_leased(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deskplane.outbox.worker.PATIENCE", 1.0)
    put(desk, "short", 1)
    put(desk, "long", 2)
    put(desk, None, 3, 4, 5)
    begun: list[int] = []
    release = threading.Event()

    def handle(message: Claimed) -> None:
        begun.append(message.payload["n"])
        if message.lane is not None:
            release.wait(0.5 if message.lane == "short" else 20)
        elif len(begun) >= 3:
            worker.stop()

    worker = Worker(desk.database, desk.clock, {"test": handle}, [], idle_seconds=0.01)
    worker.run()
    left = rows(desk)
    release.set()
    assert {row.payload["n"] for row in left} == {2, 4, 5}
    assert [row.lease_owner for row in left] == [None] * 3
    assert {row.available_at for row in left} == {desk.clock.now()}, "the next worker has them at once"
    time.sleep(0.2)
    assert len(rows(desk)) == 3, "who gave a message back completes it no more"


def test_a_lane_with_much_waiting_costs_no_more_to_look_at(desk: Desk, clock: TurnedClock) -> None:
    """The plan enters the index once for each lane; it does not read what waits behind the first."""
    put(desk, "deep", *range(2000))
    put(desk, "other", 1)
    if desk.database.is_sqlite:
        statement = service._of_lanes(clock.now(), 20, lambda lane: lane.not_in(["other"]))
        compiled = statement.compile(dialect=desk.database.writing.dialect, compile_kwargs={"render_postcompile": True})
        with desk.database.writing.connect() as connection:
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {compiled}", tuple(compiled.params[name] for name in compiled.positiontup or ())
            ).all()
        assert not any("SCAN outbox" in row[-1] and "INDEX" not in row[-1] for row in plan), plan
    assert claim(desk) == [("deep", 0), ("other", 1)]
    begun = time.perf_counter()
    for _ in range(20):
        assert claim(desk) == []
    assert time.perf_counter() - begun < 2.0


def test_poison_is_seen_by_topic(api: Api, desk: Desk, clock: TurnedClock) -> None:
    put(desk, "a", 1)
    put(desk, "a", 2, available_at=clock.now() + timedelta(hours=1))

    def fail(message: Claimed) -> None:
        raise ValueError("poison")

    drain(Worker(desk.database, desk.clock, {"test": fail}, []))
    clock.turn(minutes=10)
    ready = api.call("GET", "/readyz")
    assert (ready["outbox"], ready["outbox_failing"], ready["outbox_oldest_seconds"]) == (2, 1, 600)
    metrics = api.request("GET", "/metrics").get_data(as_text=True)
    assert 'deskplane_outbox_messages{topic="test"} 2.0' in metrics
    assert 'deskplane_outbox_failing_messages{topic="test"} 1.0' in metrics
    assert "deskplane_outbox_oldest_seconds 600.0" in metrics


def test_a_topic_and_its_lane_stay_with_the_message(desk: Desk) -> None:
    put(desk, "a", 1)
    with desk.database.transaction(write=False) as session:
        assert session.execute(select(Message.topic, Message.lane)).all() == [("test", "a")]
