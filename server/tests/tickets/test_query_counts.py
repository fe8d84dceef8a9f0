"""A page of a hundred takes as many statements as a page of ten: nothing is looked up row by row."""

from __future__ import annotations

from typing import Any

import pytest
from ticket_help import person

from conftest import Api
from deskplane.app import Desk
from deskplane.tickets import service
from statements import recorded


@pytest.fixture
def busy_desk(api: Api, desk: Desk) -> Desk:
    """A hundred and twenty tickets that refer to everything that a ticket can refer to."""
    for index in range(4):
        api.apply("customers", name=f"c{index}")
        api.apply("contacts", email=f"kim@c{index}.example", customer=f"c{index}")
        api.apply("assets", name=f"a{index}", customer=f"c{index}")
        api.apply("groups", name=f"g{index}")
        api.apply("departments", name=f"d{index}")
        api.apply("labels", name=f"l{index}")
        api.apply("users", username=f"u{index}", roles=["admin"])
    api.apply("sla-policies", name="p", resolution_minutes=60)

    def many(session: Any) -> None:
        for index in range(120):
            of = index % 4
            service.open_ticket(
                desk.command_line(session),
                {
                    "title": f"rope {index}",
                    "customer": f"c{of}",
                    "department": f"d{of}",
                    "assignee": f"u{of}",
                    "owner": f"u{of}",
                    "group": f"g{of}",
                    "contact": f"kim@c{of}.example",
                    "assets": [f"a{of}"],
                    "type": "incident",
                    "labels": [f"l{of}"],
                    "tags": ["a", "b"],
                },
            )

    desk.database.run(many, write=True)
    return desk


LISTS = {
    "sort=-updated_at": 120,
    "sort=-created_at&status=open": 120,
    "sort=due_at&open=true": 120,
    "sort=reminders": 120,
    "sort=number&label=l1": 30,
    "customer=c2&tag=a": 30,
    "sla_state=warning": 120,
    "q=rope": 120,
    "q=rope&sort=-updated_at": 120,
}
"""Filters of the list, each with how many tickets they leave."""


@pytest.mark.parametrize("who", ["administrator", "member"])
def test_a_page_takes_as_many_statements_however_long_it_is(api: Api, busy_desk: Desk, who: str) -> None:
    """The caller, which tickets, all that they refer to, and their tags, labels and assets: four; and what a filter
    asks besides. SQLite's BEGIN is counted too."""
    caller = api
    if who == "member":
        memberships = [{"customer": f"c{index}", "role": "member"} for index in range(4)]
        caller = person(api, "mia", "tickets:view_all_departments", memberships=memberships)
    for query, there in LISTS.items():
        path = f"/tickets?{query}"
        caller.call("GET", f"{path}&limit=1")  # what a process keeps of the configuration is there now
        counts = {}
        for limit in (10, 50, 100):
            with recorded(busy_desk) as statements:
                page = caller.call("GET", f"{path}&limit={limit}")
            assert len(page["items"]) == min(limit, there), query
            counts[limit] = len([statement for statement in statements if not statement.startswith("BEGIN")])
        assert len(set(counts.values())) == 1, counts
        # a filter by label or tag first asks whether the word is a common one; reminders are a list before the others
        # PostgreSQL for the matches of a word that has few, and SQLite whether a status is one
        most = 5 if any(word in query for word in ("label", "tag", "reminders", "q=", "status")) else 4
        assert counts[100] <= most, statements


def test_counting_takes_two_statements_and_one_for_words(api: Api, busy_desk: Desk) -> None:
    """The caller, and the counters, or what is counted one by one."""
    for query in ("", "?customer=c1&department=d1", "?assignee=u2", "?q=rope&assignee=u2&status=open"):
        api.call("GET", f"/tickets/counts{query}")
        with recorded(busy_desk) as statements:
            api.call("GET", f"/tickets/counts{query}")
        most = 3 if "q=" in query else 2
        assert len([statement for statement in statements if not statement.startswith("BEGIN")]) <= most, statements


def test_history_and_messages_take_as_many_statements_for_many_as_for_few(api: Api, busy_desk: Desk) -> None:
    for index in range(30):
        api.call("PATCH", "/tickets/TKT-000001", {"comment": f"c{index}"})
    for what in ("history", "messages"):
        counts = set()
        for limit in (2, 30):
            with recorded(busy_desk) as statements:
                api.call("GET", f"/tickets/TKT-000001/{what}?limit={limit}")
            counts.add(len(statements))
        assert len(counts) == 1


def test_reading_one_ticket_is_four_statements(api: Api, busy_desk: Desk) -> None:
    """The caller, the ticket with all that it refers to, its tags, labels and assets, and its contact's assets."""
    api.call("GET", "/tickets/TKT-000001")
    with recorded(busy_desk) as statements:
        api.call("GET", "/tickets/TKT-000002")
    assert len([statement for statement in statements if not statement.startswith("BEGIN")]) == 4, statements
