"""Tickets that nobody touches are closed, and those long closed deleted, as their department has it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import func, select
from ticket_help import changed, events, history, messages, opened, read

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.desks.models import Department
from deskplane.tickets import cleanup
from deskplane.tickets.models import AttachmentChunk, Ticket


def clean_up(desk: Desk) -> int:
    """Does all of it, and answers in how many transactions."""
    at: Any = None
    for count in range(1, 1000):
        at = desk.database.run(lambda session, at=at: cleanup.clean_up(desk.automation(session), at), write=True)
        if at is None:
            return count
    raise AssertionError("it does not end")


def department(api: Api, name: str = "Desk", workflow: str = "free", **parts: Any) -> None:
    api.apply("departments", name=name, workflow=workflow, cleanup=parts)


def numbers(api: Api) -> list[str]:
    return sorted(ticket["number"] for ticket in api.call("GET", "/tickets?limit=200")["items"])


def upload(api: Api, number: str) -> None:
    answer = api.client.post(
        f"/api/v1/tickets/{number}/attachments?name=a.txt",
        data=b"what it was about",
        headers={"Authorization": f"Bearer {api.key}", "Content-Type": "text/plain"},
    )
    assert answer.status_code == 201, answer.get_data(as_text=True)


@pytest.mark.feature("F078", "F145")
def test_what_nobody_touched_for_so_many_days_is_closed_with_a_note(api: Api, desk: Desk, clock: TurnedClock) -> None:
    department(api, close_after_days=7, close_statuses=["open", "waiting"], note="Nobody came back to this.")
    idle, busy = (opened(api, title, department="Desk")["number"] for title in ("idle", "busy"))
    clock.turn(days=6)
    changed(api, busy, priority="high")
    clock.turn(days=1)
    clean_up(desk)
    assert read(api, idle)["status"] == "open", "seven days, and not a moment more"
    clock.turn(seconds=1)
    clean_up(desk)
    found = read(api, idle)
    assert (found["status"], found["closed_at"]) == ("closed", found["updated_at"])
    assert read(api, busy)["status"] == "open"
    (note,) = messages(api, idle)
    assert (note["direction"], note["body"], note["author"]) == ("internal", "Nobody came back to this.", "automation")
    assert [event for event, number in events(desk) if number == idle] == ["ticket_created", "auto_closed"]
    (step,) = [entry for entry in history(api, idle) if entry["field"] == "status"]
    assert (step["old"], step["new"], step["author"], step["cause"]) == ("open", "closed", "automation", "automation")
    assert {entry["cause"] for entry in history(api, idle) if entry["field"] == "message"} == {"automation"}
    before = (history(api, idle), events(desk))
    clock.turn(days=30)
    changed(api, busy, priority="low")
    clean_up(desk)
    assert (history(api, idle), events(desk)[:-1]) == before, "what is closed is closed once"


@pytest.mark.feature("F145")
def test_only_the_statuses_and_the_department_that_say_so(api: Api, desk: Desk, clock: TurnedClock) -> None:
    department(api, close_after_days=1, close_statuses=["waiting", "resolved"])
    department(api, "Slow", close_after_days=30, close_statuses=["open", "waiting"])
    department(api, "Other", delete_closed_after_days=300)
    wanted = {
        ("Desk", "open"): "open",
        ("Desk", "waiting"): "closed",
        ("Desk", "in_progress"): "in_progress",
        ("Desk", "resolved"): "closed",
        ("Desk", "cancelled"): "cancelled",
        ("Slow", "waiting"): "waiting",
        ("Other", "waiting"): "waiting",
        (None, "waiting"): "waiting",
    }
    made = {key: opened(api, str(key), department=key[0], status=key[1])["number"] for key in wanted}
    clock.turn(days=2)
    clean_up(desk)
    assert {key: read(api, number)["status"] for key, number in made.items()} == wanted
    assert messages(api, made["Desk", "waiting"]) == [], "without a note there is none"


@pytest.mark.feature("F078")
def test_it_goes_the_shortest_way_of_the_workflow_or_not_at_all(api: Api, desk: Desk, clock: TurnedClock) -> None:
    department(api, workflow="itil", close_after_days=1, close_statuses=["open"])
    steps = [{"from": "open", "to": "resolved"}]
    api.apply("workflows", name="dead end", transitions=steps, final=["resolved"])
    department(api, "Stuck", workflow="dead end", close_after_days=1, close_statuses=["open"])
    number = opened(api, department="Desk")["number"]
    stuck, *_others = (opened(api, department="Stuck")["number"] for _ in range(cleanup.CHUNK + 1))
    clock.turn(days=2)
    assert clean_up(desk) < 5, "those that cannot be closed are not looked at for ever"
    way = [entry["new"] for entry in history(api, number) if entry["field"] == "status"]
    assert way == ["in_progress", "resolved", "closed"]
    assert [event for event, about in events(desk) if about == number] == ["ticket_created", "auto_closed"]
    assert read(api, stuck)["status"] == "open"


def test_a_ticket_whose_reminder_is_still_to_come_stays(api: Api, desk: Desk, clock: TurnedClock) -> None:
    department(api, close_after_days=7, close_statuses=["waiting"])
    number = opened(api, department="Desk", status="waiting", remind_at="2026-03-20T09:00:00Z")["number"]
    clock.turn(days=17)
    clean_up(desk)
    assert read(api, number)["status"] == "waiting"
    clock.turn(days=1)
    clean_up(desk)
    assert read(api, number)["status"] == "closed"


@pytest.mark.feature("F145")
def test_what_was_closed_long_ago_is_deleted_with_its_files(api: Api, desk: Desk, clock: TurnedClock) -> None:
    department(api, delete_closed_after_days=90)
    old, reopened, resolved = (opened(api, str(n), department="Desk", status="closed")["number"] for n in range(3))
    elsewhere = opened(api, "elsewhere", status="closed")["number"]
    upload(api, old)
    api.call("PUT", f"/tickets/{old}/links/relates_to/{resolved}", status=204)
    changed(api, reopened, status="open")
    changed(api, resolved, status="resolved")
    clock.turn(days=90)
    clean_up(desk)
    assert len(numbers(api)) == 4
    clock.turn(seconds=1)
    clean_up(desk)
    assert numbers(api) == sorted([reopened, resolved, elsewhere])
    api.call("GET", f"/tickets/{old}", status=404)
    with desk.database.transaction(write=False) as session:
        assert session.execute(select(func.count()).select_from(AttachmentChunk)).scalar_one() == 0
    gone = history(api, resolved)[-1]
    assert (gone["field"], gone["old"]["ticket"], gone["new"]) == ("link", old, None)
    assert (gone["author"], gone["cause"]) == ("automation", "automation")


@pytest.mark.feature("F145")
def test_where_files_are_to_be_kept_a_ticket_with_files_stays(api: Api, desk: Desk, clock: TurnedClock) -> None:
    department(api, delete_closed_after_days=90, delete_files=False)
    bare, full = (opened(api, title, department="Desk")["number"] for title in ("bare", "full"))
    upload(api, full)
    for number in (bare, full):
        changed(api, number, status="closed")
    clock.turn(days=91)
    clean_up(desk)
    assert numbers(api) == [full]
    assert len(api.call("GET", f"/tickets/{full}/attachments")["items"]) == 1
    department(api, delete_closed_after_days=90, delete_files=True)
    clean_up(desk)
    assert numbers(api) == []


def test_many_are_taken_a_few_at_a_time_and_once_by_however_many_workers(
    api: Api, desk: Desk, clock: TurnedClock
) -> None:
    count = 2 * cleanup.CHUNK + 3
    department(api, close_after_days=1, close_statuses=["open"], note="x", delete_closed_after_days=5)
    for index in range(count):
        opened(api, f"Ticket {index}", department="Desk")
    clock.turn(days=2)
    threads = [threading.Thread(target=clean_up, args=(desk,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [event for event, _number in events(desk)].count("auto_closed") == count
    for number in numbers(api):
        assert len(messages(api, number)) == 1
    clock.turn(days=6)
    assert clean_up(desk) >= 3
    assert numbers(api) == []


@pytest.mark.feature("F145")
def test_the_worker_cleans_up_every_hour(api: Api, desk: Desk, clock: TurnedClock) -> None:
    department(api, close_after_days=1, close_statuses=["open"])
    number = opened(api, department="Desk")["number"]
    jobs = make_worker(desk)._schedules
    jobs.run_due()
    clock.turn(days=1, hours=1)
    assert "clean-up" in jobs.run_due()
    assert read(api, number)["status"] == "closed"


def test_a_desk_without_clean_up_does_nothing(api: Api, desk: Desk) -> None:
    api.apply("departments", name="Desk")
    assert clean_up(desk) == 1


def test_a_department_of_an_older_version_has_the_defaults(api: Api, desk: Desk, clock: TurnedClock) -> None:
    department(api, close_after_days=1, close_statuses=["open"])
    number = opened(api, department="Desk")["number"]

    def forget(session: Any) -> None:
        session.execute(select(Department)).scalar_one().cleanup = {"close_after_days": 1, "close_statuses": ["open"]}
        desk.automation(session).change_configuration()

    desk.database.run(forget, write=True)
    clock.turn(days=2)
    clean_up(desk)
    assert read(api, number)["status"] == "closed"


def test_a_clean_up_that_closes_nothing_is_warned_of(api: Api) -> None:
    answer = api.apply("departments", name="Desk", cleanup={"close_after_days": 7})
    assert any("cleanup.close_statuses is empty" in warning for warning in answer["warnings"])
    assert api.apply("departments", name="Desk", cleanup={"close_statuses": ["open"]})["warnings"] == []


def test_what_is_to_be_closed_is_found_among_what_is_open(desk: Desk, api: Api, clock: TurnedClock) -> None:
    """The index of the department would lead over everything that was ever closed."""
    department(api, close_after_days=7, close_statuses=["open"], delete_closed_after_days=7)
    with desk.database.transaction(write=False) as session:
        closing, deleting = cleanup._parts(desk.automation(session))
        plans = []
        for part in (closing, deleting):
            statement = select(Ticket.id).where(*part.conditions).order_by(Ticket.updated_at, Ticket.id).limit(10)
            text = str(statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True}))
            explain = "EXPLAIN QUERY PLAN " if desk.database.is_sqlite else "EXPLAIN "
            if not desk.database.is_sqlite:
                session.connection().exec_driver_sql("SET LOCAL enable_seqscan = off")
            plans.append(str(session.connection().exec_driver_sql(explain + text.replace("%", "%%")).all()))
    assert "ix_tickets_status" in plans[0]
    assert "ix_tickets_department" in plans[1]
