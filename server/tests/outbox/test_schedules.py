"""Periodic jobs: once a period however many workers, in steps under a lease, and nothing stops them for long."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.outbox import schedules, service
from deskplane.outbox.models import Message, Schedule
from deskplane.outbox.schedules import Job, LongJob, Schedules
from deskplane.outbox.worker import Worker

MINUTE = timedelta(minutes=1)


def worker(desk: Desk, *jobs: Job | LongJob, owner: str = "one", **options: Any) -> Schedules:
    found = Schedules(desk.database, desk.clock, owner, jobs, **options)
    found.run_due()  # the first period begins
    return found


def row(desk: Desk) -> Schedule:
    with desk.database.transaction(write=False) as session:
        found = session.execute(select(Schedule)).scalar_one()
        session.expunge_all()
        return found


def done(desk: Desk) -> list[Any]:
    """What jobs wrote, in the transactions of their steps."""
    with desk.database.transaction(write=False) as session:
        return [found["n"] for found in session.execute(select(Message.payload).order_by(Message.id)).scalars()]


class Counting:
    """A long job of three steps, each of which writes its number."""

    def __init__(self, desk: Desk, every: timedelta = MINUTE) -> None:
        self.desk = desk
        self.job = LongJob("counting", every, self.step)
        self.between: list[Any] = []
        """What happens in the midst of each step."""

    def step(self, session: Session, at: int | None) -> int | None:
        number = at or 1
        service.put(self.desk.automation(session), "test", {"n": number})
        if self.between:
            self.between.pop(0)()
        return number + 1 if number < 3 else None


def test_a_long_job_goes_step_by_step_and_is_due_again_a_period_after_its_end(desk: Desk, clock: TurnedClock) -> None:
    counting = Counting(desk)
    counting.between = [lambda: clock.turn(seconds=20)] * 3
    found = worker(desk, counting.job)
    assert found.run_due() == []
    clock.turn(minutes=1)
    assert found.run_due() == ["counting"]
    assert done(desk) == [1, 2, 3]
    assert (row(desk).next_run_at, row(desk).lease_owner) == (clock.now() + MINUTE, None)
    assert row(desk).last_run_at == clock.now()
    assert found.run_due() == []


def test_each_step_is_stored_by_itself(desk: Desk, clock: TurnedClock) -> None:
    counting = Counting(desk)
    seen: list[list[int]] = []

    def look(session: Session, at: int | None) -> int | None:
        seen.append(done(desk))
        return counting.step(session, at)

    found = worker(desk, LongJob("looking", MINUTE, look))
    clock.turn(minutes=1)
    found.run_due()
    assert seen == [[], [1], [1, 2]]


def test_several_workers_run_a_long_job_once(desk: Desk, clock: TurnedClock) -> None:
    def step(session: Session, at: int | None) -> int | None:
        service.put(desk.automation(session), "test", {"n": at or 1})
        return (at or 1) + 1 if at != 20 else None

    workers = [worker(desk, LongJob("long", MINUTE, step), owner=name) for name in ("one", "two", "three")]
    clock.turn(minutes=1)
    ended: list[str] = []
    threads = [threading.Thread(target=lambda found=found: ended.extend(found.run_due())) for found in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ended == ["long"]
    assert done(desk) == list(range(1, 21))


def test_a_job_of_a_worker_that_died_is_begun_anew_when_its_lease_ends(desk: Desk, clock: TurnedClock) -> None:
    counting = Counting(desk)
    dead = worker(desk, counting.job)
    alive = worker(desk, counting.job, owner="two")
    clock.turn(minutes=1)
    assert desk.database.run(lambda session: dead._step(session, counting.job, False, None), write=True) == (True, 2)
    assert alive.run_due() == []
    clock.turn(seconds=59)
    assert alive.run_due() == []
    clock.turn(seconds=1)
    assert alive.run_due() == ["counting"]
    assert done(desk) == [1, 1, 2, 3]


def test_who_lost_its_lease_takes_no_further_step(desk: Desk, clock: TurnedClock) -> None:
    counting = Counting(desk)
    slow = worker(desk, counting.job)
    other = worker(desk, counting.job, owner="two")
    clock.turn(minutes=1)
    assert desk.database.run(lambda session: slow._step(session, counting.job, False, None), write=True) == (True, 2)
    clock.turn(minutes=2)
    assert other.run_due() == ["counting"]
    assert desk.database.run(lambda session: slow._step(session, counting.job, True, 2), write=True) == (False, None)
    assert done(desk) == [1, 1, 2, 3]


def test_a_stopped_worker_ends_behind_its_step_and_the_next_has_the_job_at_once(desk: Desk, clock: TurnedClock) -> None:
    counting = Counting(desk)
    one = worker(desk, counting.job)
    two = worker(desk, counting.job, owner="two")
    counting.between = [one.stop]
    clock.turn(minutes=1)
    assert one.run_due() == []
    assert done(desk) == [1]
    assert row(desk).lease_owner is None
    assert two.run_due() == ["counting"]
    assert done(desk) == [1, 1, 2, 3]


def test_what_was_missed_while_nobody_worked_is_done_once(desk: Desk, clock: TurnedClock) -> None:
    runs: list[Any] = []
    found = worker(desk, Job("short", MINUTE, lambda session: runs.append(clock.now())))
    clock.turn(days=3)
    for _ in range(5):
        found.run_due()
        clock.turn(seconds=10)
    assert len(runs) == 1
    clock.turn(seconds=10)
    found.run_due()
    assert len(runs) == 2


@pytest.mark.parametrize("is_leased", [False, True])
def test_a_clock_that_is_set_back_by_a_day_keeps_a_job_waiting_for_one_period(
    desk: Desk, clock: TurnedClock, is_leased: bool
) -> None:
    counting = Counting(desk)
    found = worker(desk, counting.job)
    clock.turn(minutes=1)
    if is_leased:  # by one that died
        desk.database.run(lambda session: found._step(session, counting.job, False, None), write=True)
    else:
        found.run_due()
    before = done(desk)
    clock.turn(days=-1)
    assert found.run_due() == []
    clock.turn(seconds=61)
    assert found.run_due() == ["counting"]
    assert done(desk) == [*before, 1, 2, 3]


@pytest.mark.provokes("a periodic job failed")
def test_a_job_that_fails_leaves_nothing_stops_no_other_and_is_tried_again(desk: Desk, clock: TurnedClock) -> None:
    told: list[Any] = []
    broken = [True]

    def fail(session: Session, at: int | None) -> int | None:
        service.put(desk.automation(session), "test", {"n": at or 1})
        if broken and at == 2:
            raise RuntimeError("at the second step")
        return None if at == 2 else 2

    def note(session: Session, job: str, error: str | None) -> None:
        told.append((job, error))

    runs: list[Any] = []
    day = timedelta(days=1)
    jobs = (LongJob("a", day, fail), Job("b", day, lambda session: runs.append(1)))
    found = worker(desk, *jobs, told=note)
    clock.turn(days=1)
    assert found.run_due() == ["b"]
    assert (done(desk), runs) == ([1], [1])
    assert told == [("a", "RuntimeError('at the second step')")]
    assert found.run_due() == []
    clock.turn(minutes=1)
    broken.clear()
    assert found.run_due() == ["a"]
    assert done(desk) == [1, 1, 2]
    assert told[1:] == [("a", None)]
    clock.turn(days=1)
    assert found.run_due() == ["a", "b"]
    assert len(told) == 2


@pytest.mark.provokes("a periodic job failed")
def test_a_failing_job_is_an_alert_and_a_metric_until_it_works(
    api: Api, desk: Desk, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = make_worker(desk)._schedules
    found.run_due()
    name = found._jobs[0].name

    def gauge(metric: str) -> float:
        text = api.request("GET", "/metrics").get_data(as_text=True)
        prefix = f'{metric}{{job="{name}"}} '
        return next(float(line.removeprefix(prefix)) for line in text.splitlines() if line.startswith(prefix))

    def broken(session: Session) -> None:
        raise RuntimeError("no luck")

    works = found._jobs
    monkeypatch.setattr(found, "_jobs", [Job(name, works[0].every, broken)])
    clock.turn(days=1)
    assert gauge("deskplane_job_late_seconds") == (timedelta(days=1) - works[0].every).total_seconds()
    found.run_due()
    (alert,) = api.call("GET", "/alerts?open=true")["items"]
    assert (alert["kind"], alert["key"]) == ("job_failing", name)
    assert "no luck" in alert["text"]
    assert gauge("deskplane_job_failing") == 1
    monkeypatch.setattr(found, "_jobs", works)
    clock.turn(minutes=1)
    found.run_due()
    assert api.call("GET", "/alerts?open=true")["items"] == []
    assert (gauge("deskplane_job_failing"), gauge("deskplane_job_late_seconds")) == (0, 0)


def test_jobs_of_other_versions_are_forgotten_in_time(desk: Desk, clock: TurnedClock) -> None:
    worker(desk, Job("old", MINUTE, lambda session: None))

    def names() -> list[str]:
        with desk.database.transaction(write=False) as session:
            return [job.name for job in schedules.readings(session, clock.now())]

    clock.turn(days=7)
    worker(desk, Job("new", MINUTE, lambda session: None))
    assert names() == ["new", "old"]
    clock.turn(minutes=2)
    worker(desk, Job("newer", MINUTE, lambda session: None))
    assert names() == ["new", "newer"]


def test_a_long_job_keeps_no_message_waiting(desk: Desk, clock: TurnedClock) -> None:
    dealt = threading.Event()
    waited: list[bool] = []

    class Slow(Schedules):
        """Jobs that wait outside of any transaction, as for a disk."""

        def _run(self, job: Job | LongJob) -> bool:
            desk.database.run(lambda session: service.put(desk.automation(session), "test", {}), write=True)
            waited.append(dealt.wait(20))
            found.stop()
            return super()._run(job)

    found = Worker(desk.database, clock, {"test": lambda message: dealt.set()}, [], idle_seconds=0.02)
    found._schedules = Slow(desk.database, clock, found.name, [Job("slow", MINUTE, lambda session: None)])
    found._schedules.run_due()
    clock.turn(minutes=2)
    found.run()
    assert waited == [True]
