"""Lists and counts find their tickets on an index, whatever the order: nothing is read through, and nothing sorted but
what a filter that leaves few has found. Shown by the plans that both databases make for a desk with many tickets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from conftest import Api
from deskplane.app import Desk
from deskplane.seeding import seed
from deskplane.tickets import orders

MANY = 2000
IN_ORDER = [
    *(f"sort={sort}" for sort in ("updated_at", "created_at", "due_at", "priority", "number")),
    *(f"sort=-{sort}" for sort in ("updated_at", "created_at", "due_at", "priority", "number")),
    "status=closed",
    "customer=seed-customer-3",
    "department=seed-department-1",
    "assignee=seed-user-2",
    "reporter=seed-user-2",
    "sort=due_at&open=true",
    "sort=due_at&department=seed-department-1",
    "sort=-created_at&status=closed",
]
"""Lists that are walked along an index, page after page."""
COUNTED = ["assignee=seed-user-2", "customer=seed-few&priority=high", "assignee=seed-user-3&tag=release"]
"""Filters of which tickets are counted one by one."""
Sent = tuple[str, Any]


@pytest.fixture
def large(desk: Desk) -> Desk:
    seed(desk, MANY, 0, lambda _line: None)
    return desk


@pytest.fixture
def sent(large: Desk) -> Iterator[list[Sent]]:
    """What was sent to the database that finds tickets, with its parameters."""
    found: list[Sent] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_others: Any) -> None:
        if re.search(r"(FROM|JOIN) tickets\b", statement) and "t_title" not in statement:
            found.append((statement, parameters))

    event.listen(large.database.reading, "before_cursor_execute", note)
    yield found
    event.remove(large.database.reading, "before_cursor_execute", note)


def plan(desk: Desk, statement: Sent) -> str:
    """The database's own words for how it runs a statement."""
    explain = "EXPLAIN QUERY PLAN " if desk.database.is_sqlite else "EXPLAIN "
    with desk.database.reading.connect() as connection:
        rows = connection.exec_driver_sql(explain + statement[0], statement[1])
        return "\n".join(str(row[-1]) for row in rows)


def reads_all(desk: Desk, words: str) -> bool:
    if desk.database.is_sqlite:
        return re.search(r"SCAN tickets\s*$", words, re.MULTILINE) is not None
    return "Seq Scan on tickets" in words


def sorts(desk: Desk, words: str) -> bool:
    return ("TEMP B-TREE FOR ORDER" if desk.database.is_sqlite else "Sort") in words


def test_every_page_of_a_list_lies_on_an_index(
    api: Api, large: Desk, sent: list[Sent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "WALKED", 90)
    for query in IN_ORDER:
        cursor = ""
        for which in ("first", "second"):
            sent.clear()
            page = api.call("GET", f"/tickets?{query}&limit=20{cursor}")
            assert len(page["items"]) == 20, query
            words = plan(large, sent[-1])
            assert not reads_all(large, words), f"{query}, {which} page:\n{words}"
            assert not sorts(large, words), f"{query}, {which} page:\n{words}"
            cursor = f"&cursor={page['next_cursor']}"
    for query in COUNTED:
        sent.clear()
        api.call("GET", f"/tickets/counts?{query}")
        assert len(sent) == 1
        assert not reads_all(large, plan(large, sent[0])), query
    # and what lies on no index is told apart
    words = plan(large, ("SELECT id FROM tickets WHERE description = 'x' ORDER BY occurrences", ()))
    assert reads_all(large, words)
    assert sorts(large, words)
