"""Matching tickets anew holds the lock for a few short statements, and never writes over what others changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from test_promises import change, drained, opened, policy_history, read

from conftest import Api
from deskplane.app import Desk
from deskplane.tickets import recalculation, service

MOST_STATEMENTS = 8
"""Of one writing transaction: two revisions, the versions of the tickets, and what is stored."""


@contextmanager
def writing(desk: Desk) -> Iterator[list[list[int]]]:
    """Of every writing transaction meanwhile, how many rows each of its statements was given."""
    transactions: list[list[int]] = []

    def begun(_connection: Any) -> None:
        transactions.append([])

    def sent(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if transactions and not statement.startswith("BEGIN"):
            transactions[-1].append(len(parameters) if many else 1)

    engine = desk.database.writing
    event.listen(engine, "begin", begun)
    event.listen(engine, "before_cursor_execute", sent)
    try:
        yield transactions
    finally:
        event.remove(engine, "begin", begun)
        event.remove(engine, "before_cursor_execute", sent)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Does something once, between what is worked out and what is written."""

    def arrange(happening: Callable[[], object]) -> None:
        kept = recalculation.worked_out

        def worked_out(*arguments: Any) -> recalculation.Chunk:
            found = kept(*arguments)
            monkeypatch.setattr(recalculation, "worked_out", kept)
            happening()
            return found

        monkeypatch.setattr(recalculation, "worked_out", worked_out)

    return arrange


def test_many_tickets_take_few_statements_in_each_transaction(
    api: Api, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalculation, "CHUNK", 10)

    def many(session: Any) -> None:
        for index in range(35):
            service.open_ticket(desk.command_line(session), {"title": f"t{index}"})

    desk.database.run(many, write=True)
    drained(desk)
    matched = []
    plain = service.put_under_promise

    def watched(*arguments: Any) -> None:
        assert desk.database.writing.pool.checkedout() == 0, "matching is done while nobody waits for it"
        matched.append(arguments)
        plain(*arguments)

    monkeypatch.setattr(service, "put_under_promise", watched)
    api.apply("sla-policies", name="p", resolution_minutes=60, pause_statuses=["open"])
    with writing(desk) as transactions:
        drained(desk)
    assert len(matched) == 35
    stored = [statements for statements in transactions if max(statements, default=0) > 1]
    assert [max(statements) for statements in stored] == [10, 10, 10, 5]
    assert all(len(statements) <= MOST_STATEMENTS for statements in stored), stored
    listed = api.call("GET", "/tickets?limit=200")["items"]
    assert {(ticket["sla"]["policy"], ticket["sla"]["state"]) for ticket in listed} == {("p", "paused")}
    assert {len(policy_history(api, ticket["number"])) for ticket in listed} == {1}


def test_a_ticket_that_changes_meanwhile_is_matched_as_it_is_then(
    api: Api, desk: Desk, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    api.apply("sla-policies", name="high", priorities=["high"], resolution_minutes=30)
    api.apply("sla-policies", name="rest", resolution_minutes=600, position=200)
    numbers = [opened(api, title=title)["number"] for title in ("changed", "ended", "left alone")]
    drained(desk)

    ended = []

    def others() -> None:
        change(api, numbers[0], priority="high", title="by somebody")
        ended.append(change(api, numbers[1], status="closed"))

    api.apply("sla-policies", name="rest", resolution_minutes=700)
    meanwhile(others)
    drained(desk)
    found = [read(api, number) for number in numbers]
    assert [ticket["sla"]["policy"] for ticket in found] == ["high", "rest", "rest"]
    assert (found[0]["title"], found[0]["sla"]["recalculating"]) == ("by somebody", False)
    assert [found[1]] == ended
    assert found[2]["sla"]["resolution"]["due_at"] == "2026-03-02T20:40:00Z"


def test_policies_that_change_again_meanwhile_are_the_ones_that_count(
    api: Api, desk: Desk, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=60)
    number = opened(api)["number"]
    api.apply("sla-policies", name="p", resolution_minutes=120)
    meanwhile(lambda: api.apply("sla-policies", name="p", resolution_minutes=180))
    drained(desk)
    assert read(api, number)["sla"]["resolution"]["due_at"] == "2026-03-02T12:00:00Z"
    assert read(api, number)["sla"]["recalculating"] is False


def test_a_ticket_that_is_deleted_meanwhile_stays_so(
    api: Api, desk: Desk, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    api.apply("sla-policies", name="p", resolution_minutes=60)
    kept, gone = opened(api)["number"], opened(api)["number"]
    api.apply("sla-policies", name="q", priority_floor="high", position=1)
    delete = text("DELETE FROM tickets WHERE sequence = 2")
    meanwhile(lambda: desk.database.run(lambda session: session.execute(delete), write=True))
    drained(desk)
    assert read(api, kept)["sla"]["policy"] == "q"
    api.call("GET", f"/tickets/{gone}", status=404)
