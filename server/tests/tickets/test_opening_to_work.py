"""Auto-assign on open: the first member who opens an unassigned ticket becomes its assignee, once."""

from __future__ import annotations

from typing import Any

import pytest
from ticket_help import EVERYTHING, dump, events, history, opened, person, read

from conftest import Api
from deskplane.app import Desk

EDIT = "tickets:edit"


def look(api: Api, number: str, status: int = 200) -> Any:
    return api.call("POST", f"/tickets/{number}/open", status=status)


@pytest.fixture
def mia(api: Api) -> Api:
    """A member of the department support, which assigns on opening."""
    found = person(api, "mia", EDIT, *EVERYTHING)
    api.apply("departments", name="support", auto_assign_on_open=True, members=["mia"])
    return found


@pytest.mark.feature("F138", "F141")
def test_the_first_member_who_opens_it_gets_it(api: Api, desk: Desk, mia: Api) -> None:
    number = opened(api, department="support")["number"]
    found = look(mia, number)
    assert found == read(mia, number)
    assert found["assignee"] == "mia"
    entry = history(api, number)[-1]
    assert (entry["field"], entry["old"], entry["new"]) == ("assignee", None, "mia")
    assert (entry["author"], entry["cause"]) == ("mia", "auto-assign on open")
    assert events(desk)[-1] == ("ticket_assigned", number)
    before = dump(desk)
    look(mia, number)
    look(api, number)
    assert dump(desk) == before, "who comes later changes nothing"


def test_it_stays_nobodys_where_that_is_not_wanted(api: Api, desk: Desk, mia: Api) -> None:
    api.apply("departments", name="calm", members=["mia"])
    numbers = [
        opened(api)["number"],
        opened(api, department="calm")["number"],
        opened(api, department="support", status="resolved")["number"],
    ]
    before = dump(desk)
    for number in numbers:
        assert look(mia, number)["assignee"] is None
    unassigned = opened(api, department="support")["number"]
    assert look(api, unassigned)["assignee"] is None, "root is no member"
    reader = person(api, "tom", *EVERYTHING)
    api.apply("departments", name="support", members=["mia", "tom"])
    assert look(reader, unassigned)["assignee"] is None, "who may only read works on nothing"
    api.apply("departments", name="support", auto_assign_on_open=False)
    assert look(mia, unassigned)["assignee"] is None, "a change acts at the next request"
    after = dump(desk)
    assert before["tickets"] == [row for row in after["tickets"] if row in before["tickets"]]


def test_what_one_may_not_see_one_does_not_get(api: Api, mia: Api) -> None:
    api.apply("departments", name="support", members=[])
    api.apply("customers", name="ACME")
    stranger = person(api, "eve", EDIT)
    api.apply("departments", name="support", members=["eve"])
    number = opened(api, department="support", customer="ACME")["number"]
    missing = look(stranger, "TKT-999999", status=404)
    there = look(stranger, number, status=404)
    assert {k: v for k, v in there.items() if k != "request_id"} == {
        k: v for k, v in missing.items() if k != "request_id"
    }
    assert read(api, number)["assignee"] is None
