"""Clocks that stand still, begin anew or stay stopped, on tickets: what moves a deadline, and what a change of the
rules leaves as it was."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from test_promises import change, drained, opened, read

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.outbox.models import Message
from deskplane.tickets.recalculation import RECALCULATE

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")


def office(api: Api, **fields: Any) -> None:
    hours = {day: [{"from": "09:00", "to": "17:00"}] for day in DAYS}
    api.apply("calendars", name="office", time_zone="UTC", hours=hours, **fields)


def resolution(api: Api, number: str) -> dict[str, Any]:
    found: dict[str, Any] = read(api, number)["sla"]["resolution"]
    return found


@pytest.mark.feature("F079")
def test_waiting_stops_both_clocks_and_going_on_moves_them(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", response_minutes=60, resolution_minutes=120)
    number = opened(api)["number"]
    clock.turn(minutes=30)
    sla = change(api, number, status="waiting")["sla"]
    assert sla["state"] == "paused"
    assert sla["response"] | {"warn_at": None} == {
        "state": "paused",
        "due_at": None,
        "warn_at": None,
        "critical_at": None,
        "met_at": None,
        "left_seconds": 30 * 60,
    }
    clock.turn(days=3)
    assert read(api, number)["sla"] == sla, "a pause changes nothing by itself"
    sla = change(api, number, status="in_progress")["sla"]
    assert (sla["response"]["due_at"], sla["response"]["left_seconds"]) == ("2026-03-05T10:00:00Z", None)
    assert sla["resolution"]["due_at"] == "2026-03-05T11:00:00Z"


def test_only_the_working_time_of_a_pause_moves_a_deadline(api: Api, clock: TurnedClock) -> None:
    office(api)
    api.apply("sla-policies", name="p", resolution_minutes="8h", calendar="office")
    number = opened(api)["number"]  # Monday at nine
    assert resolution(api, number)["due_at"] == "2026-03-02T17:00:00Z"
    clock.turn(hours=7)
    change(api, number, status="waiting")
    clock.turn(hours=17, minutes=30)  # until half past nine on Tuesday
    change(api, number, status="open")
    assert resolution(api, number)["due_at"] == "2026-03-03T10:30:00Z"


def test_thresholds_are_working_time_before_the_deadline(api: Api) -> None:
    office(api)
    api.apply("sla-policies", name="p", resolution_minutes="8h30m", warn_minutes="2h", calendar="office")
    found = opened(api)["sla"]["resolution"]
    assert (found["warn_at"], found["due_at"]) == ("2026-03-02T15:30:00Z", "2026-03-03T09:30:00Z")


def test_a_deadline_that_passed_before_the_pause_stays_passed(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=60)
    number = opened(api)["number"]
    clock.turn(minutes=61)
    assert change(api, number, status="waiting")["sla"]["state"] == "breached"
    clock.turn(minutes=600)
    found = change(api, number, status="open")["sla"]["resolution"]
    assert (found["state"], found["due_at"]) == ("breached", "2026-03-02T10:00:00Z")


def test_a_ticket_is_resolved_in_time_while_its_clock_is_paused(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=60)
    number = opened(api)["number"]
    change(api, number, status="waiting")
    clock.turn(days=9)
    found = change(api, number, status="resolved")["sla"]["resolution"]
    assert (found["state"], found["met_at"]) == ("met", "2026-03-11T09:00:00Z")


@pytest.mark.parametrize(
    ("rule", "due_at", "met_at"),
    [
        ("continue", "2026-03-02T13:40:00Z", None),
        ("restart", "2026-03-02T14:10:00Z", None),
        ("first_only", "2026-03-02T11:00:00Z", "2026-03-02T09:30:00Z"),
    ],
)
def test_what_a_reopening_does_to_the_resolution_clock(
    api: Api, clock: TurnedClock, rule: str, due_at: str, met_at: str | None
) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=120, on_reopen=rule)
    number = opened(api)["number"]
    clock.turn(minutes=30)
    change(api, number, status="resolved")
    clock.turn(minutes=160)
    sla = change(api, number, status="open")["sla"]["resolution"]
    clock.turn(minutes=10)
    assert (sla["due_at"], sla["met_at"]) == (due_at, met_at)
    # a second time, and with a pause in between
    change(api, number, status="waiting")
    clock.turn(minutes=5)
    change(api, number, status="open")
    again = resolution(api, number)
    assert again["met_at"] == met_at
    moved = {"continue": "2026-03-02T13:45:00Z", "restart": "2026-03-02T14:15:00Z", "first_only": due_at}
    assert again["due_at"] == moved[rule]


def test_a_changed_calendar_moves_open_tickets_and_keeps_their_pauses(api: Api, desk: Desk, clock: TurnedClock) -> None:
    office(api)
    api.apply("sla-policies", name="p", resolution_minutes="8h", calendar="office")
    number = opened(api)["number"]
    clock.turn(hours=1)
    change(api, number, status="waiting")
    clock.turn(hours=2)
    change(api, number, status="open")
    assert resolution(api, number)["due_at"] == "2026-03-03T11:00:00Z"
    answer = api.apply("calendars", name="office", holidays={"dates": ["2026-03-03"]})
    assert answer["warnings"] == ["service levels are matched anew for 1 open ticket"]
    drained(desk)
    assert resolution(api, number)["due_at"] == "2026-03-04T11:00:00Z"
    api.apply("sla-policies", name="p", calendar=None)
    drained(desk)
    assert resolution(api, number)["due_at"] == "2026-03-02T19:00:00Z"


def test_changed_pause_statuses_count_from_now_on(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=120, pause_statuses=[])
    number = opened(api)["number"]
    change(api, number, status="waiting")
    clock.turn(minutes=30)
    assert resolution(api, number)["due_at"] == "2026-03-02T11:00:00Z"
    api.apply("sla-policies", name="p", pause_statuses=["waiting"])
    drained(desk)
    assert resolution(api, number)["left_seconds"] == 90 * 60
    clock.turn(minutes=30)
    api.apply("sla-policies", name="p", pause_statuses=["in_progress"])
    drained(desk)
    assert resolution(api, number)["due_at"] == "2026-03-02T11:30:00Z"


def test_from_one_paused_status_into_another_is_one_pause(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=120, pause_statuses=["waiting", "in_progress"])
    number = opened(api)["number"]
    for status in ("waiting", "in_progress", "waiting", "open"):
        change(api, number, status=status)
        clock.turn(minutes=10)
    assert resolution(api, number)["due_at"] == "2026-03-02T11:30:00Z"


def test_statuses_that_change_within_a_moment_leave_no_pause(api: Api) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=120)
    number = opened(api)["number"]
    for status in ("waiting", "open", "waiting", "resolved", "open", "waiting", "open"):
        found = change(api, number, status=status)
    assert found["sla"]["resolution"]["due_at"] == "2026-03-02T11:00:00Z"


def test_a_deadline_is_explained(api: Api, clock: TurnedClock) -> None:
    office(api, holidays={"dates": ["2026-03-03"]})
    api.apply("customers", name="ACME")
    api.apply("sla-policies", name="p", resolution_minutes="10h", calendar="office", customers=["ACME"])
    number = opened(api, customer="ACME")["number"]
    clock.turn(hours=1)
    change(api, number, status="waiting")
    clock.turn(hours=2)
    change(api, number, status="open")
    clock.turn(minutes=30)
    found = api.call("GET", f"/tickets/{number}/sla")
    assert (found["policy"], found["reason"], found["calendar"]) == ("p", "it lists the customer ACME", "office")
    assert found["pauses"] == [
        {
            "since": "2026-03-02T10:00:00Z",
            "until": "2026-03-02T12:00:00Z",
            "status": "waiting",
            "counted_seconds": 2 * 3600,
        }
    ]
    assert found["working_time"] == [
        {"since": "2026-03-02T09:00:00Z", "until": "2026-03-02T17:00:00Z"},
        {"since": "2026-03-04T09:00:00Z", "until": "2026-03-04T13:00:00Z"},
    ]
    clocks = found["resolution"]
    assert (clocks["target_minutes"], clocks["used_seconds"], clocks["left_seconds"]) == (600, 5400, 510 * 60)
    assert (clocks["started_at"], clocks["due_at"]) == ("2026-03-02T09:00:00Z", "2026-03-04T13:00:00Z")
    assert found["response"]["target_minutes"] is None


@pytest.mark.feature("F111")
@pytest.mark.parametrize(
    ("policy", "customer", "reason"),
    [
        ({"customers": ["ACME"], "priorities": ["high"]}, {}, "it lists the customer ACME and the priority high"),
        ({"priorities": ["high"]}, {}, "it lists the priority high"),
        ({}, {}, "it covers every ticket"),
        ({}, {"sla_policy": "p"}, "the customer ACME names it"),
        ({"priorities": ["low"]}, {}, "no policy covers its priority and customer"),
    ],
)
def test_the_choice_of_the_policy_is_explained(
    api: Api, policy: dict[str, Any], customer: dict[str, Any], reason: str
) -> None:
    api.apply("customers", name="ACME")
    api.apply("sla-policies", name="p", **policy)
    api.apply("customers", name="ACME", **customer)
    number = opened(api, customer="ACME", priority="high")["number"]
    found = api.call("GET", f"/tickets/{number}/sla")
    assert found["reason"] == reason
    assert found["working_time"] == found["pauses"] == []


def test_there_is_nothing_to_explain_of_a_ticket_that_is_not_there(api: Api) -> None:
    api.call("GET", "/tickets/TKT-000009/sla", status=404)


def test_a_document_that_changes_calendars_policies_and_customers_recalculates_once(api: Api, desk: Desk) -> None:
    office(api)
    api.apply("sla-policies", name="p", resolution_minutes="8h", calendar="office")
    api.apply("customers", name="ACME")
    number = opened(api, customer="ACME")["number"]
    drained(desk)
    document = {
        "calendars": [{"name": "office", "hours": {"monday": []}}],
        "sla_policies": [{"name": "p", "resolution_minutes": "4h"}],
        "customers": [{"name": "ACME", "sla_policy": "p"}],
    }
    answer = api.call("POST", "/configuration/apply", {"configuration": document})
    told = [warning for change in answer["changes"] for warning in change["warnings"]]
    assert told == ["service levels are matched anew for 1 open ticket"]
    with desk.database.transaction(write=False) as session:
        topics = session.execute(select(Message.topic)).scalars().all()
    assert topics.count(RECALCULATE) == 1
    drained(desk)
    assert resolution(api, number)["due_at"] == "2026-03-03T13:00:00Z"
