"""Service levels on tickets: matching, states whenever they are read, and what follows from a changed policy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from conftest import START, Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.outbox.models import Message
from deskplane.tickets.models import Ticket

STATES = ("none", "ok", "warning", "critical", "breached", "paused", "met")


def opened(api: Api, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.call("POST", "/tickets", {"title": "x", **fields}, status=201)
    return found


def read(api: Api, number: str) -> dict[str, Any]:
    found: dict[str, Any] = api.call("GET", f"/tickets/{number}")
    return found


def change(api: Api, number: str, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = api.call("PATCH", f"/tickets/{number}", fields)
    return found


def drained(desk: Desk) -> None:
    """Lets a worker do all that there is to do."""
    worker = make_worker(desk)
    while worker.drain_once():
        pass


def policy_history(api: Api, number: str) -> list[tuple[Any, Any, str]]:
    rows = api.call("GET", f"/tickets/{number}/history")["items"]
    return [(row["old"], row["new"], row["cause"]) for row in rows if row["field"] == "sla_policy"]


@pytest.mark.feature("F051", "F108", "F118")
def test_deadlines_are_wall_clock_from_the_creation(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", response_minutes=30, resolution_minutes="4h")
    clock.turn(microseconds=7)
    sla = opened(api)["sla"]
    assert sla == {
        "policy": "p",
        "state": "warning",
        "recalculating": False,
        "response": {
            "state": "warning",
            "due_at": "2026-03-02T09:30:00.000007Z",
            "warn_at": "2026-03-02T09:00:00.000007Z",
            "critical_at": "2026-03-02T09:15:00.000007Z",
            "met_at": None,
            "left_seconds": None,
        },
        "resolution": {
            "state": "ok",
            "due_at": "2026-03-02T13:00:00.000007Z",
            "warn_at": "2026-03-02T12:00:00.000007Z",
            "critical_at": "2026-03-02T12:45:00.000007Z",
            "met_at": None,
            "left_seconds": None,
        },
    }


@pytest.mark.feature("F113", "F114", "F115")
def test_the_state_is_right_whenever_it_is_read(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=120)
    number = opened(api)["number"]
    seen = []
    for minutes in (59, 1, 44, 1, 14, 1, 10_000):
        clock.turn(minutes=minutes)
        one, listed = read(api, number)["sla"]["state"], api.call("GET", "/tickets")["items"][0]["sla"]["state"]
        assert one == listed
        seen.append(one)
    assert seen == ["ok", "warning", "warning", "critical", "critical", "breached", "breached"]


@pytest.mark.feature("F033", "F110")
def test_the_floor_lifts_the_effective_priority_and_leaves_the_declared_one(api: Api) -> None:
    api.apply("sla-policies", name="p", priority_floor="high")
    assert {
        (ticket["priority"], ticket["effective_priority"])
        for ticket in (opened(api, priority=name) for name in ("low", "medium", "high", "critical"))
    } == {("low", "high"), ("medium", "high"), ("high", "high"), ("critical", "critical")}


def test_matching_looks_at_the_declared_priority(api: Api) -> None:
    api.apply("sla-policies", name="floor", priority_floor="critical", position=1)
    api.apply("sla-policies", name="critical only", priorities=["critical"])
    assert opened(api, priority="low")["sla"]["policy"] == "floor"
    assert opened(api, priority="critical")["sla"]["policy"] == "critical only"


@pytest.mark.feature("F003", "F109", "F112")
def test_the_policy_that_a_customer_names_comes_first_if_it_covers_the_priority(api: Api) -> None:
    api.apply("sla-policies", name="gold", priorities=["high", "critical"], resolution_minutes=60)
    api.apply("customers", name="ACME", sla_policy="gold")
    api.apply("sla-policies", name="listed", customers=["ACME"], priorities=["high"], resolution_minutes=90)
    api.apply("sla-policies", name="general", resolution_minutes=600)
    assert opened(api, customer="ACME", priority="high")["sla"]["policy"] == "gold"
    assert opened(api, customer="ACME", priority="low")["sla"]["policy"] == "general"
    assert opened(api, priority="high")["sla"]["policy"] == "gold"
    api.apply("sla-policies", name="gold", enabled=False)
    assert opened(api, customer="ACME", priority="high")["sla"]["policy"] == "listed"


@pytest.mark.feature("F119")
def test_a_change_of_priority_or_customer_matches_anew_and_keeps_the_start(api: Api, clock: TurnedClock) -> None:
    api.apply("customers", name="ACME")
    api.apply("sla-policies", name="slow", resolution_minutes=600)
    api.apply("sla-policies", name="fast", priorities=["critical"], resolution_minutes=60)
    api.apply("sla-policies", name="acme", customers=["ACME"], resolution_minutes=120, response_minutes=10)
    number = opened(api)["number"]
    clock.turn(minutes=30)
    sla = change(api, number, priority="critical")["sla"]
    assert (sla["policy"], sla["resolution"]["due_at"]) == ("fast", "2026-03-02T10:00:00Z")
    sla = change(api, number, customer="ACME")["sla"]
    assert (sla["policy"], sla["response"]["due_at"], sla["state"]) == ("acme", "2026-03-02T09:10:00Z", "breached")
    sla = change(api, number, customer=None, priority="low")["sla"]
    assert (sla["policy"], sla["response"]["due_at"]) == ("slow", None)
    assert [row[:2] for row in policy_history(api, number)] == [("slow", "fast"), ("fast", "acme"), ("acme", "slow")]
    change(api, number, title="y", status="in_progress")
    assert read(api, number)["sla"] == sla


@pytest.mark.feature("F117")
@pytest.mark.parametrize("status", ["resolved", "closed", "cancelled"])
def test_ending_in_time_meets_both_promises_and_ending_late_does_not(api: Api, clock: TurnedClock, status: str) -> None:
    api.apply("sla-policies", name="p", response_minutes=60, resolution_minutes=120)
    number = opened(api)["number"]
    clock.turn(minutes=90)
    sla = change(api, number, status=status)["sla"]
    assert (sla["response"]["state"], sla["resolution"]["state"], sla["state"]) == ("breached", "met", "breached")
    assert sla["response"]["met_at"] == sla["resolution"]["met_at"] == "2026-03-02T10:30:00Z"
    clock.turn(days=30)
    assert read(api, number)["sla"] == sla


def test_an_internal_comment_is_no_response(api: Api) -> None:
    api.apply("sla-policies", name="p", response_minutes=60)
    number = opened(api)["number"]
    assert change(api, number, comment="I look at it")["sla"]["response"]["met_at"] is None


def test_reopening_goes_on_and_the_time_that_it_was_resolved_counts_for_nobody(api: Api, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", response_minutes=60, resolution_minutes=120)
    number = opened(api)["number"]
    clock.turn(minutes=30)
    change(api, number, status="resolved")
    clock.turn(minutes=1000)
    change(api, number, status="closed")
    clock.turn(minutes=1000)
    sla = change(api, number, status="open")["sla"]
    assert sla["resolution"] == {
        "state": "ok",
        "due_at": "2026-03-03T20:20:00Z",
        "warn_at": "2026-03-03T19:20:00Z",
        "critical_at": "2026-03-03T20:05:00Z",
        "met_at": None,
        "left_seconds": None,
    }
    assert sla["response"]["state"] == "met", "an answer that was given stays given"
    clock.turn(minutes=90)
    assert read(api, number)["sla"]["state"] == "breached"


@pytest.mark.feature("F119")
def test_a_changed_policy_reaches_open_tickets_through_the_worker(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=120)
    number = opened(api)["number"]
    ended = opened(api, status="closed")["number"]
    tag = api.request("GET", f"/tickets/{number}").headers["ETag"]
    clock.turn(minutes=10)
    answer = api.apply("sla-policies", name="p", resolution_minutes=60, priority_floor="high")
    assert answer["warnings"] == ["service levels are matched anew for 1 open ticket"]
    assert read(api, number)["sla"]["recalculating"], "until a worker has come to it"
    assert opened(api)["sla"]["recalculating"] is False, "a new ticket knows the new policies"
    assert read(api, ended)["sla"]["recalculating"] is False
    drained(desk)
    ticket = read(api, number)
    assert ticket["sla"]["recalculating"] is False
    assert ticket["sla"]["resolution"]["due_at"] == "2026-03-02T10:00:00Z"
    assert ticket["effective_priority"] == "high"
    assert ticket["updated_at"] == "2026-03-02T09:00:00Z", "nobody touched it"
    assert api.request("GET", f"/tickets/{number}").headers["ETag"] != tag
    assert read(api, ended)["sla"]["resolution"]["due_at"] == "2026-03-02T11:00:00Z", "what ended stays as it ended"
    assert policy_history(api, number) == []


def test_a_change_that_moves_no_deadline_of_a_ticket_leaves_its_version(api: Api, desk: Desk) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=120, priorities=["low"])
    number = opened(api)["number"]
    tag = api.request("GET", f"/tickets/{number}").headers["ETag"]
    api.apply("sla-policies", name="p", resolution_minutes=60)
    assert read(api, number)["sla"]["recalculating"]
    drained(desk)
    assert api.request("GET", f"/tickets/{number}").headers["ETag"] == tag


def test_a_new_policy_that_fits_better_takes_over_and_history_says_so(api: Api, desk: Desk) -> None:
    api.apply("sla-policies", name="general", resolution_minutes=120)
    number = opened(api, priority="high")["number"]
    api.apply("sla-policies", name="high", priorities=["high"], resolution_minutes=30)
    drained(desk)
    assert read(api, number)["sla"]["policy"] == "high"
    assert policy_history(api, number) == [("general", "high", "automation")]


def test_pauses_and_outcomes_outlive_a_change_of_policy(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="p", response_minutes=60, resolution_minutes=120)
    number = opened(api)["number"]
    clock.turn(minutes=10)
    change(api, number, status="resolved")
    clock.turn(minutes=50)
    change(api, number, status="open")
    api.apply("sla-policies", name="p", response_minutes=5, resolution_minutes=60)
    drained(desk)
    sla = read(api, number)["sla"]
    assert sla["resolution"]["due_at"] == "2026-03-02T10:50:00Z"
    assert (sla["response"]["met_at"], sla["response"]["state"]) == ("2026-03-02T09:10:00Z", "breached")


def test_what_does_not_matter_to_tickets_recalculates_nothing(api: Api, desk: Desk) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=60)
    opened(api)
    drained(desk)
    api.apply("sla-policies", name="p", description="new words")
    api.apply("sla-policies", name="q", renamed_from="p")
    with desk.database.transaction(write=False) as session:
        assert session.execute(select(func.count()).select_from(Message)).scalar_one() == 0


def test_a_renamed_policy_shows_its_new_name(api: Api) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=60)
    number = opened(api)["number"]
    api.apply("sla-policies", name="q", renamed_from="p")
    assert read(api, number)["sla"]["policy"] == "q"


def test_many_tickets_are_recalculated_in_chunks(api: Api, desk: Desk) -> None:
    from deskplane.tickets import service

    def many(session: Any) -> None:
        work = desk.command_line(session)
        for index in range(205):
            service.open_ticket(work, {"title": f"t{index}"})

    desk.database.run(many, write=True)
    api.apply("sla-policies", name="p", resolution_minutes=60)
    drained(desk)
    assert (
        len(api.call("GET", "/tickets?limit=200&sla_state=ok")["items"])
        + len(api.call("GET", "/tickets?limit=200&sla_state=warning")["items"])
        == 200
    )
    with desk.database.transaction(write=False) as session:
        without = select(func.count()).select_from(Ticket).where(Ticket.sla_policy_id.is_(None))
        assert session.execute(without).scalar_one() == 0


@pytest.mark.feature("F122")
def test_a_deleted_policy_is_taken_off_and_the_next_one_takes_over(api: Api, desk: Desk) -> None:
    api.apply("sla-policies", name="general", resolution_minutes=600)
    api.apply("sla-policies", name="high", priorities=["high"], resolution_minutes=30)
    api.apply("customers", name="ACME", sla_policy="high")
    open_one = opened(api, priority="high", customer="ACME")["number"]
    ended = opened(api, priority="high", status="closed")["number"]
    api.apply("sla-policies", name="high", state="absent")
    drained(desk)
    assert read(api, open_one)["sla"]["policy"] == "general"
    assert read(api, open_one)["sla"]["resolution"]["due_at"] == "2026-03-02T19:00:00Z"
    assert read(api, ended)["sla"]["policy"] is None
    rows = policy_history(api, open_one)
    assert (rows[0][0], rows[-1][1]) == ("high", "general")
    assert policy_history(api, ended) == [("high", None, "automation")]
    assert api.call("GET", "/customers?name=ACME")["items"][0]["sla_policy"] is None


@pytest.mark.feature("F003")
def test_a_customer_that_names_another_policy_moves_his_open_tickets(api: Api, desk: Desk) -> None:
    api.apply("sla-policies", name="gold", resolution_minutes=60, position=200)
    api.apply("sla-policies", name="general", resolution_minutes=600)
    api.apply("customers", name="ACME")
    number = opened(api, customer="ACME")["number"]
    assert read(api, number)["sla"]["policy"] == "general"
    assert api.apply("customers", name="ACME", sla_policy="gold")["warnings"]
    drained(desk)
    assert read(api, number)["sla"]["policy"] == "gold"


@pytest.mark.feature("F063")
@pytest.mark.parametrize(("kind", "field", "value"), [("labels", "labels", ["red"]), ("ticket-types", "type", "bug")])
def test_a_deleted_label_or_type_is_taken_off_with_history(api: Api, kind: str, field: str, value: Any) -> None:
    name = "red" if field == "labels" else "bug"
    api.apply(kind, name=name)
    numbers = [opened(api, **{field: value})["number"], opened(api, status="closed", **{field: value})["number"]]
    api.apply(kind, name=name, state="absent")
    for number in numbers:
        ticket = read(api, number)
        assert ticket[field] == ([] if field == "labels" else None)
        last = api.call("GET", f"/tickets/{number}/history")["items"][-1]
        assert (last["field"], last["old"], last["new"]) == (field, value, [] if field == "labels" else None)
        assert last["cause"] == "automation"


def test_a_deleted_customer_leaves_his_tickets(api: Api) -> None:
    api.apply("customers", name="ACME", number_prefix="ACME")
    api.apply("departments", name="Of ACME", customer="ACME")
    number = opened(api, customer="ACME", department="Of ACME")["number"]
    assert api.apply("customers", status=409, name="ACME", state="absent")["type"].endswith("has_dependants")
    assert api.apply("departments", status=409, name="Of ACME", state="absent")["type"].endswith("has_dependants")
    api.apply("customers", name="ACME", state="absent", cascade=True)
    ticket = read(api, number)
    assert (ticket["number"], ticket["customer"], ticket["department"]) == ("ACME-000001", None, None)
    rows = api.call("GET", f"/tickets/{number}/history")["items"]
    assert {(row["field"], row["old"], row["new"]) for row in rows[1:]} == {
        ("customer", "ACME", None),
        ("department", "Of ACME", None),
    }


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "in_progress", "waiting", "resolved", "closed", None]),
        st.sampled_from(["low", "high", None]),
        st.integers(0, 90),
    ),
    max_size=4,
)


@pytest.mark.feature("F113")
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives=st.lists(STEPS, min_size=3, max_size=6))
def test_the_filter_by_state_finds_what_shows_that_state(
    api: Api, desk: Desk, clock: TurnedClock, lives: list[list[tuple[str | None, str | None, int]]]
) -> None:
    clock.time = START
    desk.database.run(lambda session: session.execute(delete(Ticket)), write=True)
    api.apply("sla-policies", name="both", priorities=["high"], response_minutes=40, resolution_minutes=110)
    api.apply("sla-policies", name="one", priorities=["low"], resolution_minutes=80, critical_minutes=70)
    api.apply("sla-policies", name="other", priorities=["critical"], response_minutes=50, on_reopen="restart")
    api.apply("calendars", name="none")
    api.apply("sla-policies", name="never", priorities=["medium"], response_minutes=50, calendar="none")
    for index, life in enumerate(lives):
        number = opened(api, priority=("low", "medium", "high", "critical")[index % 4])["number"]
        for status, priority, minutes in life:
            clock.turn(minutes=minutes)
            fields = {"status": status, "priority": priority}
            change(api, number, **{name: value for name, value in fields.items() if value is not None})
    for _ in range(5):
        shown = {ticket["number"]: ticket["sla"]["state"] for ticket in api.call("GET", "/tickets")["items"]}
        for state in STATES:
            found = {ticket["number"] for ticket in api.call("GET", f"/tickets?sla_state={state}")["items"]}
            assert found == {number for number, of in shown.items() if of == state}, state
        clock.turn(minutes=25)


def test_due_before_finds_running_clocks_only(api: Api) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=60)
    opened(api, title="soon")
    opened(api, title="ended", status="resolved")
    query = "/tickets?due_before=2026-03-02T10:00:01Z"
    assert [ticket["title"] for ticket in api.call("GET", query)["items"]] == ["soon"]
    assert api.call("GET", "/tickets?due_before=2026-03-02T10:00:00Z")["items"] == []


@pytest.mark.feature("F107", "F108")
def test_a_policy_keeps_what_it_promises_and_promises_nothing_while_it_is_off(api: Api) -> None:
    fields = {
        "name": "p",
        "description": "For all.",
        "response_minutes": "30m",
        "resolution_minutes": "1d",
        "enabled": False,
    }
    made = api.apply("sla-policies", **fields)["after"]
    assert made == made | fields | {"response_minutes": 30, "resolution_minutes": 1440}
    assert api.apply("sla-policies", **{**fields, "response_minutes": "0.5h"}, status=422)
    assert api.apply("sla-policies", **{**fields, "resolution_minutes": "24h"})["action"] == "none"
    assert opened(api)["sla"]["policy"] is None
    api.apply("sla-policies", name="p", enabled=True)
    assert opened(api)["sla"]["policy"] == "p"
