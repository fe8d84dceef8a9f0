"""Tickets opened by machines: how they are recognised, what a repetition does, and the recovery (domain 6)."""

from __future__ import annotations

from typing import Any

import pytest
from ticket_help import EVERYTHING, changed, dump, events, messages, opened, person, places, read

from conftest import Api, TurnedClock
from deskplane.app import Desk

FIRST = "TKT-000001"


def declare(api: Api, answers: int | None = None, **body: Any) -> dict[str, Any]:
    """POST /tickets/apply"""
    answer = api.request("POST", "/tickets/apply", {"title": "Disk full", **body})
    assert answer.status_code in ((200, 201) if answers is None else (answers,)), answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    return found


def outcome(api: Api, **body: Any) -> tuple[str, str | None]:
    """What an apply did, and to which ticket."""
    answer = declare(api, **body)
    assert answer["changed"] == (answer["action"] != "none")
    shown = answer["after"] or answer["before"]
    return answer["action"], shown and shown["number"]


def titles(api: Api) -> list[str]:
    return [ticket["title"] for ticket in api.call("GET", "/tickets?sort=number")["items"]]


@pytest.mark.feature("F089")
def test_the_first_apply_opens_a_ticket(api: Api) -> None:
    answer = declare(api, answers=201, correlation_key="k", priority="high", tags=["b", "a"])
    assert (answer["action"], answer["changed"], answer["before"]) == ("create", True, None)
    assert answer["after"] == read(api, FIRST)
    fields = {change["field"]: change["after"] for change in answer["changes"]}
    assert fields == fields | {"title": "Disk full", "correlation_key": "k", "priority": "high", "tags": ["a", "b"]}
    assert all(change["before"] is None for change in answer["changes"])


@pytest.mark.feature("F089")
def test_the_second_apply_changes_nothing_and_writes_nothing(api: Api, desk: Desk) -> None:
    body: dict[str, Any] = {"correlation_key": "k", "priority": "high", "tags": ["b", "a"], "comment": "once"}
    declare(api, **body)
    before = dump(desk)
    again = declare(api, answers=200, **{**body, "tags": ["a", "b", "a"]})
    assert (again["action"], again["changed"], again["changes"]) == ("none", False, [])
    assert again["before"] == again["after"] == read(api, FIRST)
    assert dump(desk) == before


def test_a_key_is_known_within_one_customer(api: Api) -> None:
    api.apply("customers", name="ACME")
    assert outcome(api, correlation_key="k") == ("create", FIRST)
    assert outcome(api, correlation_key="k", customer="ACME") == ("create", "TKT-000002")
    assert outcome(api, correlation_key="k", customer=None) == ("none", FIRST)
    assert outcome(api, correlation_key="k", customer="ACME", state="resolved") == ("update", "TKT-000002")
    assert read(api, FIRST)["status"] == "open"


def test_without_a_key_customer_and_title_are_the_identity(api: Api) -> None:
    api.apply("customers", name="ACME")
    assert outcome(api) == ("create", FIRST)
    assert outcome(api) == ("none", FIRST)
    assert outcome(api, title="Disk nearly full") == ("create", "TKT-000002")
    assert outcome(api, customer="ACME") == ("create", "TKT-000003")
    assert outcome(api, title="  Disk full ") == ("none", FIRST)
    assert outcome(api, correlation_key="k") == ("create", "TKT-000004")


def test_only_declared_fields_that_differ_change(api: Api, clock: TurnedClock) -> None:
    declare(api, correlation_key="k", priority="low", tags=["a"])
    changed(api, FIRST, status="in_progress", assignee="root", tags=["a", "by hand"])
    clock.turn(minutes=1)
    answer = declare(api, correlation_key="k", priority="critical", tags=["a"])
    assert answer["changes"] == [
        {"field": "priority", "before": "low", "after": "critical"},
        {"field": "tags", "before": ["a", "by hand"], "after": ["a"]},
    ]
    ticket = read(api, FIRST)
    assert (ticket["status"], ticket["assignee"]) == ("in_progress", "root")
    assert answer["after"] == ticket


def test_title_and_description_are_left_alone_unless_update_fields_names_them(api: Api) -> None:
    declare(api, correlation_key="k", description="on host 1")
    other = {"correlation_key": "k", "title": "Disk full on 2", "description": "on host 2"}
    assert outcome(api, **other) == ("none", FIRST)
    assert outcome(api, **other, update_fields=["description"]) == ("update", FIRST)
    ticket = read(api, FIRST)
    assert (ticket["title"], ticket["description"]) == ("Disk full", "on host 2")
    assert outcome(api, **other, update_fields=["title", "description"]) == ("update", FIRST)
    assert read(api, FIRST)["title"] == "Disk full on 2"
    assert outcome(api, **other, update_fields=["title", "description"]) == ("none", FIRST)


def test_on_repeat_count_counts_and_dates_each_repetition(api: Api, clock: TurnedClock) -> None:
    declare(api, correlation_key="k", on_repeat="count")
    assert read(api, FIRST)["occurrences"] == 1
    clock.turn(minutes=1)
    answer = declare(api, correlation_key="k", on_repeat="count")
    assert (answer["action"], answer["changes"]) == ("update", [{"field": "occurrences", "before": 1, "after": 2}])
    ticket = read(api, FIRST)
    assert (ticket["occurrences"], ticket["last_occurred_at"]) == (2, "2026-03-02T09:01:00Z")
    assert answer["after"] == ticket


def test_on_repeat_comment_appends_and_ignore_does_not(api: Api) -> None:
    body = {"correlation_key": "k", "comment": "host 1"}
    declare(api, **body)
    assert outcome(api, **{**body, "comment": "host 2"}) == ("none", FIRST)
    assert outcome(api, **{**body, "comment": "host 3"}, on_repeat="comment") == ("update", FIRST)
    assert outcome(api, correlation_key="k", on_repeat="comment") == ("none", FIRST)
    assert outcome(api, **{**body, "comment": "host 4"}, on_repeat="count") == ("update", FIRST)
    assert [entry["body"] for entry in messages(api, FIRST)] == ["host 1", "host 3"]


def test_an_ended_ticket_is_not_the_open_one(api: Api) -> None:
    for status in ("resolved", "closed", "cancelled"):
        _, number = outcome(api, correlation_key="k")
        assert number is not None
        changed(api, number, status=status)
    assert outcome(api, correlation_key="k") == ("create", "TKT-000004")


@pytest.mark.parametrize("status", ["resolved", "closed", "cancelled"])
def test_the_last_ticket_is_reopened_if_it_ended_lately(api: Api, clock: TurnedClock, status: str) -> None:
    declare(api, correlation_key="k", priority="low", description="first")
    changed(api, FIRST, status=status)
    clock.turn(hours=2)
    answer = declare(
        api, correlation_key="k", priority="high", reopen_within="2h", description="second", comment="again"
    )
    assert answer["action"] == "update"
    ticket = read(api, FIRST)
    assert answer["after"] == ticket
    assert (ticket["status"], ticket["reopened_count"], ticket["occurrences"]) == ("open", 1, 2)
    assert (ticket["priority"], ticket["description"]) == ("high", "first")
    assert (ticket["resolved_at"], ticket["closed_at"]) == (None, None)
    assert [entry["body"] for entry in messages(api, FIRST)] == ["again"]
    assert {change["field"] for change in answer["changes"]} == {"status", "priority", "occurrences", "reopened_count"}
    assert outcome(api, correlation_key="k", reopen_within="2h", priority="high") == ("none", FIRST)


def test_a_ticket_that_ended_a_moment_too_early_is_not_reopened(api: Api, clock: TurnedClock) -> None:
    declare(api, correlation_key="k", state="present")
    changed(api, FIRST, status="resolved")
    clock.turn(hours=2, microseconds=1)
    assert outcome(api, correlation_key="k", reopen_within=120) == ("create", "TKT-000002")


def test_closing_a_resolved_ticket_does_not_make_its_end_younger(api: Api, clock: TurnedClock) -> None:
    declare(api, correlation_key="k")
    changed(api, FIRST, status="resolved")
    clock.turn(hours=3)
    changed(api, FIRST, status="closed")
    assert outcome(api, correlation_key="k", reopen_within="2h") == ("create", "TKT-000002")


def test_of_several_ended_tickets_the_last_is_reopened(api: Api) -> None:
    for _ in range(2):
        declare(api, correlation_key="k")
        declare(api, correlation_key="k", state="closed")
    assert outcome(api, correlation_key="k", reopen_within="1h") == ("update", "TKT-000002")


def test_nothing_is_reopened_out_of_a_final_status(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    body = {"correlation_key": "k", "department": "Ops", "reopen_within": "1d"}
    declare(api, **body)
    declare(api, **body, state="resolved")
    assert outcome(api, **body) == ("update", FIRST)
    assert read(api, FIRST)["status"] == "in_progress", "the only open status that itil leads to from resolved"
    declare(api, **body, state="closed")
    assert outcome(api, **body) == ("create", "TKT-000002")


@pytest.mark.parametrize("state", ["resolved", "closed", "absent"])
def test_a_recovery_without_a_ticket_is_no_change_and_no_error(api: Api, desk: Desk, state: str) -> None:
    opened(api, "Disk full", status="closed", correlation_key="k")
    before = dump(desk)
    answer = declare(api, answers=200, correlation_key="k", state=state)
    assert (answer["action"], answer["changed"], answer["changes"]) == ("none", False, [])
    assert (answer["before"], answer["after"]) == (None, None)
    assert dump(desk) == before


@pytest.mark.parametrize("state", ["resolved", "closed"])
def test_a_recovery_ends_the_open_ticket_with_its_comment_once(api: Api, desk: Desk, state: str) -> None:
    declare(api, correlation_key="k")
    body = {"correlation_key": "k", "state": state, "comment": "fine again"}
    answer = declare(api, **body)
    assert answer["changes"] == [{"field": "status", "before": "open", "after": state}]
    assert answer["after"] == read(api, FIRST)
    assert events(desk)[1:] == [("ticket_closed" if state == "closed" else "ticket_updated", FIRST)]
    before = dump(desk)
    assert declare(api, **body)["action"] == "none"
    assert dump(desk) == before
    assert [entry["body"] for entry in messages(api, FIRST)] == ["fine again"]


def test_a_resolved_ticket_can_still_be_closed_by_its_key(api: Api) -> None:
    declare(api, correlation_key="k")
    declare(api, correlation_key="k", state="resolved")
    assert outcome(api, correlation_key="k", state="closed") == ("update", FIRST)
    assert outcome(api, correlation_key="k", state="resolved") == ("none", None)


def test_absent_deletes_the_open_ticket_and_shows_what_it_was(api: Api) -> None:
    declare(api, correlation_key="k")
    ticket = read(api, FIRST)
    answer = declare(api, correlation_key="k", state="absent")
    assert (answer["action"], answer["before"], answer["after"]) == ("delete", ticket, None)
    assert titles(api) == []
    assert outcome(api, correlation_key="k", state="absent") == ("none", None)


def test_a_recovery_takes_the_allowed_path(api: Api) -> None:
    api.apply("departments", name="Ops", workflow="itil")
    declare(api, correlation_key="k", department="Ops", status="waiting")
    assert declare(api, correlation_key="k", state="closed")["after"]["status"] == "closed"


@pytest.mark.parametrize("state", ["present", "resolved", "closed", "absent"])
def test_an_unknown_customer_is_an_error_and_never_a_silent_recovery(api: Api, desk: Desk, state: str) -> None:
    before = dump(desk)
    problem = declare(api, answers=422, correlation_key="k", customer="AMCE", state=state)
    assert places(problem) == {"customer": "unknown_reference"}
    assert dump(desk) == before


@pytest.mark.parametrize("status", ["resolved", "closed", "cancelled"])
def test_an_ended_status_is_no_present_ticket(api: Api, desk: Desk, status: str) -> None:
    before = dump(desk)
    problem = api.call("POST", "/tickets/apply", {"title": "Disk full", "status": status}, status=422)
    assert places(problem) == {"status": "not_allowed"}
    assert dump(desk) == before


@pytest.mark.parametrize(
    "body", [{}, {"correlation_key": "k"}, {"title": None}, {"title": ""}, {"correlation_key": "", "title": "x"}]
)
def test_without_a_title_nothing_can_be_recognised(api: Api, body: dict[str, Any]) -> None:
    problem = api.call("POST", "/tickets/apply", body, status=422)
    assert set(places(problem)) <= {"title", "correlation_key"}


def test_an_apply_needs_the_rights_of_what_it_does(api: Api, desk: Desk) -> None:
    rights = ("tickets:create", "tickets:edit", "tickets:comment", "tickets:close", "tickets:delete")
    bodies: list[tuple[dict[str, Any], str]] = [
        ({"correlation_key": "new"}, "tickets:create"),
        ({"correlation_key": "new", "comment": "c"}, "tickets:comment"),
        ({"correlation_key": "k", "priority": "low"}, "tickets:edit"),
        ({"correlation_key": "k", "on_repeat": "count"}, "tickets:edit"),
        ({"correlation_key": "k", "on_repeat": "comment", "comment": "c"}, "tickets:comment"),
        ({"correlation_key": "k", "state": "resolved"}, "tickets:close"),
        ({"correlation_key": "k", "state": "absent"}, "tickets:delete"),
        ({"correlation_key": "k", "assignee": "root"}, "tickets:assign"),
    ]
    declare(api, correlation_key="k")
    for index, (body, missing) in enumerate(bodies):
        mia = person(api, f"mia{index}", *EVERYTHING, *(right for right in rights if right != missing))
        before = dump(desk)
        for path in ("/tickets/apply", "/tickets/apply?dry_run=true"):
            problem = mia.call("POST", path, {"title": "Disk full", **body}, status=403)
            assert problem["missing_permission"] == missing
        assert dump(desk) == before
        if "state" not in body:
            assert (
                mia.call("POST", "/tickets/apply", {"title": "Disk full", "correlation_key": "k"})["action"] == "none"
            )


def test_a_key_held_by_a_ticket_that_the_caller_may_not_see_is_a_conflict_that_tells_nothing(api: Api) -> None:
    number = opened(api, "secret title", correlation_key="k")["number"]
    mia = person(api, "mia", "tickets:create")
    answer = mia.request("POST", "/tickets/apply", {"title": "x", "correlation_key": "k"})
    assert answer.status_code == 409
    assert number not in answer.get_data(as_text=True)
    assert "secret" not in answer.get_data(as_text=True)
