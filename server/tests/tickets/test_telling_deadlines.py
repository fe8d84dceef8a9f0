"""sla_warning and sla_breached: each once for each clock and deadline, whatever happens to the ticket in between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import select, text
from ticket_help import changed, opened, read

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.outbox.models import Message
from deskplane.tickets import recalculation, sweep
from deskplane.tickets.announcements import TOPIC

Told = tuple[str, str, str, str]
"""Ticket, clock, event, deadline."""


def swept(desk: Desk) -> None:
    """Tells all that is due, as the job does."""
    while desk.database.run(lambda session: sweep.tell_due(desk.automation(session)), write=True):
        pass


def told(desk: Desk) -> list[Told]:
    """What was told of deadlines so far, oldest first."""
    statement = select(Message.payload).where(Message.topic == TOPIC).order_by(Message.id)
    with desk.database.transaction(write=False) as session:
        return [
            (row["ticket_number"], row["clock"], row["event"], row["due_at"])
            for row in session.execute(statement).scalars()
            if row["event"] in (sweep.WARNING, sweep.BREACHED)
        ]


def recalculate(desk: Desk) -> None:
    """Does what a worker does when policies changed; events stay in the outbox."""
    recalculation.run(desk.database, desk.automation, {"after": 0})


@pytest.fixture
def gold(api: Api) -> None:
    """An answer within one hour, a solution within four; warned half an hour before."""
    api.apply("sla-policies", name="gold", response_minutes=60, resolution_minutes=240, warn_minutes=30)


@pytest.mark.feature("F120")
@pytest.mark.usefixtures("gold")
def test_a_deadline_is_told_when_it_comes_near_and_when_it_has_passed_once_each(
    api: Api, desk: Desk, clock: TurnedClock
) -> None:
    number = opened(api)["number"]
    answer, solution = "2026-03-02T10:00:00Z", "2026-03-02T13:00:00Z"
    wanted: list[Told] = []
    for minutes, clock_name, event, due_at in (
        (30, "response", "sla_warning", answer),
        (60, "response", "sla_breached", answer),
        (210, "resolution", "sla_warning", solution),
        (240, "resolution", "sla_breached", solution),
    ):
        clock.time = datetime(2026, 3, 2, 9, tzinfo=UTC) + timedelta(minutes=minutes, microseconds=-1)
        swept(desk)
        assert told(desk) == wanted
        clock.turn(seconds=0.000001)
        wanted.append((number, clock_name, event, due_at))
        for _ in range(2):
            swept(desk)
            assert told(desk) == wanted
    clock.turn(days=30)
    swept(desk)
    assert told(desk) == wanted


@pytest.mark.feature("F120")
@pytest.mark.usefixtures("gold")
def test_what_came_to_pass_while_nobody_worked_is_told_afterwards_once(
    api: Api, desk: Desk, clock: TurnedClock
) -> None:
    numbers = [opened(api, f"Ticket {index}")["number"] for index in range(3)]
    clock.turn(days=2)
    swept(desk)
    assert len(told(desk)) == len(set(told(desk))) == 12
    assert {row[0] for row in told(desk)} == set(numbers)
    assert [row[1:3] for row in told(desk) if row[0] == numbers[0]] == [
        ("response", "sla_warning"),
        ("response", "sla_breached"),
        ("resolution", "sla_warning"),
        ("resolution", "sla_breached"),
    ]


@pytest.mark.usefixtures("gold")
def test_nothing_is_told_of_what_is_met_paused_or_over(api: Api, desk: Desk, clock: TurnedClock) -> None:
    answered, paused, closed = (opened(api, title)["number"] for title in ("answered", "paused", "closed"))
    api.call("POST", f"/tickets/{answered}/messages", {"body": "Hello", "direction": "outbound"}, 201)
    changed(api, paused, status="waiting")
    changed(api, closed, status="closed")
    clock.turn(minutes=90)
    swept(desk)
    assert told(desk) == []
    clock.turn(days=9)
    swept(desk)
    assert {row[:2] for row in told(desk)} == {(answered, "resolution")}


@pytest.mark.usefixtures("gold")
def test_what_stood_still_is_told_when_it_goes_on(api: Api, desk: Desk, clock: TurnedClock) -> None:
    number = opened(api)["number"]
    clock.turn(minutes=70)
    changed(api, number, status="waiting")  # before anybody told of the answer's deadline, which has passed
    swept(desk)
    assert told(desk) == []
    clock.turn(days=1)
    changed(api, number, status="open")
    swept(desk)
    assert [row[1:3] for row in told(desk)] == [("response", "sla_warning"), ("response", "sla_breached")]


@pytest.mark.usefixtures("gold")
def test_another_deadline_is_told_anew_and_one_that_comes_back_is_not(api: Api, desk: Desk, clock: TurnedClock) -> None:
    number = opened(api)["number"]
    clock.turn(minutes=40)
    swept(desk)
    for minutes, count in ((70, 2), (65, 3), (60, 3), (70, 3), (200, 3), (60, 3)):
        api.apply("sla-policies", name="gold", response_minutes=minutes)
        recalculate(desk)
        swept(desk)
        assert len(told(desk)) == count, minutes
    clock.turn(minutes=20)
    swept(desk)
    assert told(desk)[-1] == (number, "response", "sla_breached", "2026-03-02T10:00:00Z")
    assert len(set(told(desk))) == len(told(desk)) == 4


@pytest.mark.usefixtures("gold")
@pytest.mark.parametrize("is_off", [True, False])
def test_a_policy_that_changed_is_waited_for(api: Api, desk: Desk, clock: TurnedClock, is_off: bool) -> None:
    number = opened(api)["number"]
    clock.turn(minutes=61)
    change: dict[str, Any] = {"enabled": False} if is_off else {"response_minutes": 120}
    api.apply("sla-policies", name="gold", **change)
    assert read(api, number)["sla"]["recalculating"] is True
    swept(desk)
    assert told(desk) == [], "its deadline may be another"
    recalculate(desk)
    swept(desk)
    assert told(desk) == []
    clock.turn(minutes=40)
    swept(desk)
    assert [row[1:3] for row in told(desk)] == ([] if is_off else [("response", "sla_warning")])


def test_who_wants_no_warning_gets_none(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="gold", resolution_minutes=60, warn_minutes=0)
    number = opened(api)["number"]
    clock.turn(minutes=60)
    swept(desk)
    assert told(desk) == [(number, "resolution", "sla_breached", "2026-03-02T10:00:00Z")]


@pytest.mark.usefixtures("gold")
def test_several_at_once_tell_each_once(api: Api, desk: Desk, clock: TurnedClock) -> None:
    count = 2 * sweep.CHUNK + 20
    for index in range(count):
        opened(api, f"Ticket {index}")
    clock.turn(minutes=60)
    threads = [threading.Thread(target=swept, args=(desk,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    swept(desk)
    assert len(told(desk)) == len(set(told(desk))) == 2 * count


@pytest.mark.feature("F120")
@pytest.mark.usefixtures("gold")
def test_the_worker_does_it_and_the_feed_says_of_which_clock(api: Api, desk: Desk, clock: TurnedClock) -> None:
    number = opened(api)["number"]
    before = read(api, number)
    worker = make_worker(desk)
    worker._schedules.run_due()
    clock.turn(minutes=60)
    worker._schedules.run_due()
    worker.drain_once()
    created, warning, breached = api.call("GET", "/tickets/events")["items"]
    assert (created["event"], created["clock"], created["due_at"]) == ("ticket_created", None, None)
    for event, name in ((warning, "sla_warning"), (breached, "sla_breached")):
        assert (event["event"], event["ticket_number"]) == (name, number)
        assert (event["clock"], event["due_at"]) == ("response", "2026-03-02T10:00:00Z")
    after = read(api, number)
    assert after["updated_at"] == before["updated_at"], "to be told of is no change"
    assert api.request("GET", f"/tickets/{number}").headers["ETag"].startswith('"1')


DEADLINES = ("response_minutes", "resolution_minutes", "warn_minutes")


@pytest.mark.feature("F120")
@examples(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_happens_each_is_told_once_and_nothing_else(
    api: Api, desk: Desk, clock: TurnedClock, data: st.DataObject
) -> None:
    """Against the clocks as the API shows them: at every sweep, those that run, near or past their deadlines."""
    already, wanted = len(told(desk)), set[Told]()
    api.apply("sla-policies", name="gold", enabled=True, response_minutes=60, resolution_minutes=240, warn_minutes=30)
    recalculate(desk)
    number = opened(api)["number"]

    def speak() -> None:
        api.call("POST", f"/tickets/{number}/messages", {"body": "Hello", "direction": "outbound"}, 201)

    def promise(**fields: Any) -> None:
        api.apply("sla-policies", name="gold", **fields)

    def look() -> None:
        ticket, now = read(api, number), clock.now()
        sla = ticket["sla"]
        for name in ("response", "resolution"):
            found = sla[name]
            stands = ticket["status"] == "waiting" or found["met_at"] is not None or found["due_at"] is None
            if stands or sla["recalculating"]:
                continue
            warn_at, due_at = (datetime.fromisoformat(found[edge]) for edge in ("warn_at", "due_at"))
            if warn_at <= now and warn_at < due_at:
                wanted.add((number, name, "sla_warning", found["due_at"]))
            if due_at <= now:
                wanted.add((number, name, "sla_breached", found["due_at"]))
        swept(desk)

    acts: list[Callable[[], None]] = [
        lambda: clock.turn(minutes=data.draw(st.integers(1, 120))),
        lambda: changed(api, number, status=data.draw(st.sampled_from(["open", "waiting", "in_progress", "resolved"]))),
        speak,
        lambda: promise(**{data.draw(st.sampled_from(DEADLINES)): data.draw(st.integers(1, 300))}),
        lambda: promise(enabled=data.draw(st.booleans())),
        lambda: promise(on_reopen=data.draw(st.sampled_from(["continue", "restart", "first_only"]))),
        lambda: recalculate(desk),
        look,
    ]
    for act in data.draw(st.lists(st.sampled_from(acts), min_size=4, max_size=16)):
        act()
        if data.draw(st.booleans()):
            look()
    recalculate(desk)
    look()
    found = told(desk)[already:]
    assert len(found) == len(set(found))
    assert {row for row in found if row[0] == number} == wanted
    changed(api, number, status="closed")  # it is no matter of the next example


def test_a_sweep_finds_what_is_due_by_an_index(desk: Desk) -> None:
    statement = (
        "SELECT id FROM tickets WHERE sla_tell_at <= :now AND sla_revision = 1 ORDER BY sla_tell_at, id LIMIT 50"
    )
    explain = "EXPLAIN QUERY PLAN " if desk.database.is_sqlite else "EXPLAIN "
    with desk.database.writing.connect() as connection:
        if not desk.database.is_sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        now = desk.clock.now().isoformat(timespec="microseconds")
        plan = connection.execute(text(explain + statement), {"now": now}).all()
    assert "ix_tickets_sla_tell_at" in str(plan)
