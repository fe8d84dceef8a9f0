"""Changing and deleting tickets: rights, stale copies, reminders, endings and reopenings."""

from __future__ import annotations

import pytest
from ticket_help import EVERYTHING, changed, dump, history, messages, opened, person, places, read

from conftest import Api, TurnedClock
from deskplane.app import Desk

EDIT, ASSIGN, CLOSE, COMMENT = "tickets:edit", "tickets:assign", "tickets:close", "tickets:comment"


@pytest.mark.feature("F029", "F040", "F041", "F046")
def test_a_change_is_answered_as_it_is_read_afterwards(api: Api, clock: TurnedClock) -> None:
    api.apply("labels", name="outage")
    number = opened(api, tags=["a", "b"])["number"]
    clock.turn(minutes=5)
    after = changed(api, number, title="New", priority="low", tags=["b", "c"], labels=["outage"], description="*d*")
    assert after == read(api, number)
    assert (after["title"], after["priority"], after["tags"], after["labels"]) == ("New", "low", ["b", "c"], ["outage"])
    assert after["updated_at"] == "2026-03-02T09:05:00Z"


@pytest.mark.feature("F034")
def test_null_sets_a_field_to_its_default(api: Api) -> None:
    api.apply("labels", name="outage")
    number = opened(
        api,
        priority="high",
        description="d",
        tags=["a"],
        labels=["outage"],
        type="incident",
        assignee="root",
        correlation_key="k",
        status="in_progress",
    )["number"]
    fields = ("priority", "description", "tags", "labels", "type", "assignee", "correlation_key", "status")
    after = changed(api, number, **dict.fromkeys(fields))
    assert {name: after[name] for name in fields} == {
        "priority": "medium",
        "description": "",
        "tags": [],
        "labels": [],
        "type": None,
        "assignee": None,
        "correlation_key": None,
        "status": "open",
    }
    assert places(changed(api, number, answers=422, title=None)) == {"title": "required"}


def test_a_change_that_changes_nothing_writes_nothing(api: Api, desk: Desk) -> None:
    ticket = opened(api, tags=["a"], assignee="root")
    before = dump(desk)
    assert changed(api, ticket["number"], title=ticket["title"], tags=["a", "a"], assignee="root") == ticket
    assert changed(api, ticket["number"]) == ticket
    assert dump(desk) == before


def test_a_bad_change_leaves_everything_as_it_was(api: Api, desk: Desk) -> None:
    number = opened(api)["number"]
    before = dump(desk)
    problem = changed(api, number, answers=422, title="ok", type="nothing", assignee="nobody", labels=["no"])
    assert places(problem) == {
        "type": "unknown_reference",
        "assignee": "unknown_reference",
        "labels": "unknown_reference",
    }
    problem = api.call("PATCH", f"/tickets/{number}", {"number": "X-1", "source": "email", "sla": {}}, status=422)
    assert places(problem) == {"number": "unknown_field", "source": "unknown_field", "sla": "unknown_field"}
    assert dump(desk) == before


@pytest.mark.feature("F071", "F072", "F136", "F174", "F175")
@pytest.mark.parametrize(
    ("permissions", "fields", "missing"),
    [
        ((), {"title": "y"}, EDIT),
        ((), {"assignee": "root"}, ASSIGN),
        ((), {"status": "in_progress"}, EDIT),
        ((ASSIGN,), {"assignee": "root"}, None),
        ((ASSIGN,), {"owner": "root"}, EDIT),
        ((ASSIGN,), {"assignee": "root", "priority": "low"}, EDIT),
        ((EDIT,), {"title": "y", "owner": "root", "priority": "low", "tags": ["a"], "type": "incident"}, None),
        ((EDIT,), {"assignee": "root"}, ASSIGN),
        ((EDIT,), {"status": "waiting"}, None),
        ((EDIT,), {"status": "resolved"}, CLOSE),
        ((EDIT,), {"status": "closed"}, CLOSE),
        ((EDIT,), {"status": "cancelled"}, CLOSE),
        ((CLOSE,), {"status": "closed"}, EDIT),
        ((EDIT, CLOSE), {"status": "closed"}, None),
        ((EDIT,), {"comment": "c"}, COMMENT),
        ((EDIT, COMMENT), {"comment": "c"}, None),
        ((COMMENT,), {"comment": "c"}, None),
        ((COMMENT,), {"comment": "c", "title": "y"}, EDIT),
        ((), {"title": "The printer is on fire"}, None),
    ],
)
def test_each_change_needs_its_own_permission(
    api: Api, desk: Desk, permissions: tuple[str, ...], fields: dict[str, str], missing: str | None
) -> None:
    mia = person(api, "mia", *EVERYTHING, *permissions)
    number = opened(api)["number"]
    before = dump(desk)
    if missing is None:
        mia.call("PATCH", f"/tickets/{number}", fields)
        return
    assert mia.call("PATCH", f"/tickets/{number}", fields, status=403)["missing_permission"] == missing
    assert dump(desk) == before


@pytest.mark.feature("F072")
def test_leaving_an_ended_status_needs_the_permission_to_close(api: Api) -> None:
    editor = person(api, "mia", *EVERYTHING, EDIT)
    number = opened(api, status="closed")["number"]
    problem = editor.call("PATCH", f"/tickets/{number}", {"status": "open"}, status=403)
    assert problem["missing_permission"] == CLOSE


@pytest.mark.feature("F052", "F073")
def test_the_reporter_may_close_or_reopen_his_resolved_ticket_and_nothing_else(api: Api) -> None:
    rita = api.as_user("rita", roles=["requester"])
    number = opened(rita)["number"]
    assert rita.call("PATCH", f"/tickets/{number}", {"status": "closed"}, status=403)["missing_permission"] == EDIT
    changed(api, number, status="resolved")
    assert rita.call("PATCH", f"/tickets/{number}", {"status": "open"})["reopened_count"] == 1
    changed(api, number, status="resolved")
    for fields in ({"status": "cancelled"}, {"status": "closed", "priority": "low"}, {"title": "y"}):
        rita.call("PATCH", f"/tickets/{number}", fields, status=403)
    assert rita.call("PATCH", f"/tickets/{number}", {"status": "closed"})["status"] == "closed"
    rita.call("PATCH", f"/tickets/{number}", {"status": "open"}, status=403)


@pytest.mark.feature("F073")
def test_a_stranger_may_not_confirm_for_the_reporter(api: Api) -> None:
    number = opened(api, status="resolved")["number"]
    mia = person(api, "mia", *EVERYTHING)
    mia.call("PATCH", f"/tickets/{number}", {"status": "closed"}, status=403)


def test_a_stale_copy_changes_nothing(api: Api, desk: Desk) -> None:
    number = opened(api)["number"]
    first = api.request("GET", f"/tickets/{number}").headers["ETag"]
    answer = api.request("PATCH", f"/tickets/{number}", {"title": "y"}, headers={"If-Match": first})
    assert answer.status_code == 200
    second = answer.headers["ETag"]
    assert second == api.request("GET", f"/tickets/{number}").headers["ETag"] != first
    before = dump(desk)
    for method, body in (("PATCH", {"title": "z"}), ("PATCH", {}), ("DELETE", None)):
        api.call(method, f"/tickets/{number}", body, status=412, headers={"If-Match": first})
    assert dump(desk) == before
    changed(api, number, headers={"If-Match": f'"nothing", {second}'}, title="z")
    changed(api, number, headers={"If-Match": "*"}, title="a")


def test_every_write_makes_the_copies_of_others_stale(api: Api) -> None:
    api.apply("labels", name="outage")
    number = opened(api)["number"]
    tags = {api.request("GET", f"/tickets/{number}").headers["ETag"]}
    bodies = ({"comment": "c"}, {"tags": ["a"]}, {"labels": ["outage"]}, {"status": "closed"}, {"status": "open"})
    for body in bodies:
        tags.add(api.request("PATCH", f"/tickets/{number}", body).headers["ETag"])
    assert len(tags) == 1 + len(bodies)


@pytest.mark.feature("F079")
def test_a_reminder_is_for_waiting_tickets_only_and_goes_when_they_wait_no_more(api: Api) -> None:
    number, soon, later = opened(api)["number"], "2026-03-03T08:00:00Z", "2026-03-04T08:00:00Z"
    assert places(changed(api, number, answers=422, remind_at=soon)) == {"remind_at": "not_allowed"}
    bad = api.call("PATCH", f"/tickets/{number}", {"status": "closed", "remind_at": soon}, status=422)
    assert places(bad) == {"remind_at": "not_allowed"}

    def patch(**fields: str | None) -> str | None:
        found: str | None = api.call("PATCH", f"/tickets/{number}", fields)["remind_at"]
        return found

    assert patch(status="waiting", remind_at=soon) == soon
    assert patch(remind_at=later) == later
    assert patch(title="still waiting") == later
    assert patch(remind_at=None) is None
    assert patch(remind_at=soon) == soon
    assert patch(status="in_progress") is None
    assert [entry["new"] for entry in history(api, number) if entry["field"] == "remind_at"] == [
        soon,
        later,
        None,
        soon,
        None,
    ]


@pytest.mark.feature("F077")
def test_ends_and_reopenings_are_dated_and_counted(api: Api, clock: TurnedClock) -> None:
    number = opened(api)["number"]

    def step(status: str) -> tuple[str | None, str | None, int]:
        clock.turn(hours=1)
        ticket = api.call("PATCH", f"/tickets/{number}", {"status": status})
        return (
            (ticket["resolved_at"] or "")[11:13] or None,
            (ticket["closed_at"] or "")[11:13] or None,
            ticket["reopened_count"],
        )

    assert step("resolved") == ("10", None, 0)
    assert step("closed") == ("10", "11", 0)
    assert step("open") == (None, None, 1)
    assert step("cancelled") == (None, "13", 1)
    assert step("waiting") == (None, None, 2)
    assert step("closed") == (None, "15", 2)
    assert step("resolved") == ("16", None, 2), "a resolved ticket is not closed any more"


@pytest.mark.feature("F074")
def test_a_comment_is_an_internal_message_of_its_author(api: Api, clock: TurnedClock) -> None:
    number = opened(api)["number"]
    mia = person(api, "mia", *EVERYTHING, COMMENT, EDIT, CLOSE, "tickets:read_internal")
    clock.turn(minutes=1)
    mia.call("PATCH", f"/tickets/{number}", {"comment": "It was the <b>fuse</b>."})
    mia.call("PATCH", f"/tickets/{number}", {"comment": "Done.", "status": "closed"})
    found = messages(mia, number)
    assert [(entry["direction"], entry["body"], entry["author"]) for entry in found] == [
        ("internal", "It was the <b>fuse</b>.", "mia"),
        ("internal", "Done.", "mia"),
    ]
    assert "<b>" not in found[0]["body_html"]
    assert found[0]["created_at"] == "2026-03-02T09:01:00Z"
    assert read(api, number)["description"] == "", "the description is a field and never a message"


@pytest.mark.feature("F081", "F175")
def test_deleting_needs_its_permission_and_leaves_no_row_behind(api: Api, desk: Desk) -> None:
    api.apply("labels", name="outage")
    mia = person(api, "mia", *EVERYTHING, EDIT, CLOSE)
    empty = dump(desk)
    number = opened(api, tags=["a"], labels=["outage"])["number"]
    changed(api, number, comment="c", title="y")
    assert mia.call("DELETE", f"/tickets/{number}", status=403)["missing_permission"] == "tickets:delete"
    assert api.request("DELETE", f"/tickets/{number}").status_code == 204
    api.call("GET", f"/tickets/{number}", status=404)
    api.call("DELETE", f"/tickets/{number}", status=404)
    left = dump(desk)
    for table in ("tickets", "ticket_history", "ticket_messages", "ticket_tags", "ticket_labels"):
        assert left[table] == empty[table] == []


def test_a_correlation_key_cannot_be_taken_from_another_open_ticket(api: Api) -> None:
    api.apply("customers", name="ACME")
    first = opened(api, correlation_key="k")["number"]
    second = opened(api)["number"]
    problem = changed(api, second, answers=409, correlation_key="k")
    assert first in problem["detail"]
    third = opened(api, correlation_key="k", customer="ACME")["number"]
    assert api.call("PATCH", f"/tickets/{third}", {"customer": None}, status=409)
    changed(api, first, title="same key, same ticket", correlation_key="k")
    changed(api, first, status="closed")
    changed(api, second, correlation_key="k")
    problem = api.call("PATCH", f"/tickets/{first}", {"status": "open"}, status=409)
    assert second in problem["detail"]


def test_a_ticket_may_leave_the_customer_only_for_one_that_the_caller_works_for(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("customers", name="Other")
    mia = person(api, "mia", EDIT, memberships=[{"customer": "ACME", "role": "member"}])
    number = opened(api, customer="ACME")["number"]
    problem = mia.call("PATCH", f"/tickets/{number}", {"customer": "Other"}, status=422)
    unknown = mia.call("PATCH", f"/tickets/{number}", {"customer": "Ether"}, status=422)
    assert problem["detail"].replace("Other", "Ether") == unknown["detail"]


def test_a_ticket_keeps_its_number_when_its_customer_changes(api: Api) -> None:
    api.apply("customers", name="ACME", number_prefix="ACME")
    number = opened(api)["number"]
    assert changed(api, number, customer="ACME")["number"] == number


@pytest.mark.feature("F038")
def test_moving_a_ticket_checks_its_people_again(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("customers", name="Other")
    person(api, "mia", memberships=[{"customer": "ACME", "role": "member"}])
    number = opened(api, customer="ACME", assignee="mia")["number"]
    assert places(changed(api, number, answers=422, customer="Other")) == {"assignee": "not_allowed"}
    assert changed(api, number, customer="Other", assignee=None)["customer"] == "Other"
