"""The reporter says whether what was resolved is: he closes his ticket or reopens it, without `tickets:close`."""

from __future__ import annotations

import pytest
from ticket_help import changed, dump, events, history, opened, person, read

from conftest import Api

pytestmark = pytest.mark.feature("F052", "F073")

REOPENED = {"free": "open", "itil": "in_progress"}
WAY = {"free": ["resolved"], "itil": ["in_progress", "resolved"]}


@pytest.fixture(params=["free", "itil"])
def workflow(request: pytest.FixtureRequest, api: Api) -> str:
    name: str = request.param
    api.apply("departments", name="Ops", workflow=name)
    return name


@pytest.fixture
def rita(api: Api, workflow: str) -> Api:
    """Who may open tickets, and see her own, and nothing else."""
    return api.as_user("rita", roles=["requester"])


def resolved(api: Api, rita: Api, workflow: str) -> str:
    number: str = opened(rita, department="Ops")["number"]
    for status in WAY[workflow]:
        changed(api, number, status=status)
    return number


def test_a_requester_reports_in_her_own_name(api: Api, rita: Api) -> None:
    ticket = opened(rita, department="Ops")
    assert (ticket["reporter"], ticket["created_by"]) == ("rita", "rita")
    assert [item["number"] for item in rita.call("GET", "/tickets")["items"]] == [ticket["number"]]
    opened(api, "of somebody else", department="Ops")
    assert len(rita.call("GET", "/tickets")["items"]) == 1


def test_the_reporter_confirms(api: Api, rita: Api, workflow: str) -> None:
    number = resolved(api, rita, workflow)
    assert changed(rita, number, status="closed")["closed_at"] is not None
    last = history(api, number)[-1]
    assert (last["author"], last["field"], last["old"], last["new"]) == ("rita", "status", "resolved", "closed")
    assert events(api.desk)[-1] == ("ticket_closed", number)


def test_the_reporter_says_that_it_is_not_so(api: Api, rita: Api, workflow: str) -> None:
    number = resolved(api, rita, workflow)
    ticket = changed(rita, number, status=REOPENED[workflow])
    assert (ticket["status"], ticket["reopened_count"], ticket["resolved_at"]) == (REOPENED[workflow], 1, None)


def test_the_reporter_does_nothing_else(api: Api, rita: Api, workflow: str) -> None:
    number = opened(rita, department="Ops")["number"]
    before = dump(api.desk)
    first = "in_progress"
    changed(rita, number, 403, status=first)
    changed(rita, number, 403, title="y")
    assert dump(api.desk) == before
    number = resolved(api, rita, workflow)
    api.apply("contacts", email="max@x.org")
    before = dump(api.desk)
    changed(rita, number, 403, status="cancelled")
    changed(rita, number, 403, status="closed", priority="low")
    changed(rita, number, 403, status="closed", contact="max@x.org")
    assert dump(api.desk) == before


def test_nobody_confirms_for_the_reporter(api: Api, rita: Api, workflow: str) -> None:
    number = resolved(api, rita, workflow)
    mia = person(api, "mia", "tickets:view_all", "tickets:view_all_departments", "tickets:edit")
    assert changed(mia, number, 403, status="closed")["missing_permission"] == "tickets:close"
    assert read(api, number)["status"] == "resolved"


def test_what_was_confirmed_is_reopened_by_those_only_who_close(api: Api, rita: Api, workflow: str) -> None:
    number = resolved(api, rita, workflow)
    changed(rita, number, status="closed")
    rita.call("PATCH", f"/tickets/{number}", {"status": "open"}, status=403 if workflow == "free" else 422)
    assert read(api, number)["status"] == "closed"
