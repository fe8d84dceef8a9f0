"""The feed of events: whoever goes on with its cursor gets every event, once, in the order of the feed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from ticket_help import EVERYTHING, changed, opened, person

from conftest import Api, TurnedClock, settings
from deskplane.app import Desk, make_desk, make_worker
from deskplane.outbox.models import Message
from deskplane.tickets import feed
from deskplane.tickets.models import TicketEvent


def work(desk: Desk) -> None:
    """A worker deals with all there is."""
    worker = make_worker(desk)
    while worker.drain_once():
        pass


def asked(api: Api, status: int = 200, **query: Any) -> Any:
    return api.call("GET", "/tickets/events", status=status, query_string=query)


def told(answer: Any) -> list[tuple[str, str]]:
    return [(item["event"], item["subject"]) for item in answer["items"]]


def test_what_happened_stands_in_the_feed_with_the_values_of_its_moment(api: Api, desk: Desk) -> None:
    api.apply("customers", name="ACME")
    opened(api, "First", customer="ACME", assignee="root")
    assert asked(api)["items"] == [], "it comes through a worker"
    changed(api, "TKT-000001", title="Second", status="closed")
    work(desk)
    first, second = asked(api)["items"]
    assert first == {
        "id": first["id"],
        "event": "ticket_created",
        "timestamp": "2026-03-02T09:00:00Z",
        "ticket_number": "TKT-000001",
        "subject": "First",
        "status": "open",
        "priority": "medium",
        "assigned_to": "root",
        "customer": "ACME",
        "department": None,
        "url": first["url"],
        "clock": None,
        "due_at": None,
    }
    assert (second["event"], second["subject"], second["status"]) == ("ticket_closed", "Second", "closed")
    assert first["id"] != second["id"]


def test_whoever_goes_on_with_the_cursor_gets_each_event_once(api: Api, desk: Desk) -> None:
    seen: list[tuple[str, str]] = []
    cursor = asked(api)["next_cursor"]
    for round_ in range(4):
        for index in range(5):
            opened(api, f"{round_} {index}")
        work(desk)
        while True:
            answer = asked(api, cursor=cursor, limit=2)
            seen += told(answer)
            cursor = answer["next_cursor"]
            if not answer["more"]:
                break
        assert asked(api, cursor=cursor) == {"items": [], "next_cursor": cursor, "more": False}
    assert seen == [("ticket_created", f"{round_} {index}") for round_ in range(4) for index in range(5)]


def test_the_id_of_an_event_is_a_cursor(api: Api, desk: Desk) -> None:
    for title in ("a", "b", "c"):
        opened(api, title)
    work(desk)
    events = asked(api)["items"]
    assert told(asked(api, cursor=events[1]["id"])) == [("ticket_created", "c")]


def test_one_can_begin_behind_the_newest_event(api: Api, desk: Desk) -> None:
    opened(api, "old")
    work(desk)
    answer = asked(api, newest="true")
    assert (answer["items"], answer["more"]) == ([], False)
    opened(api, "new")
    work(desk)
    assert told(asked(api, cursor=answer["next_cursor"])) == [("ticket_created", "new")]


def test_events_can_be_chosen_by_name_and_by_time(api: Api, desk: Desk, clock: TurnedClock) -> None:
    opened(api, "a")
    clock.turn(hours=1)
    opened(api, "b")
    changed(api, "TKT-000002", assignee="root")
    work(desk)
    assert told(asked(api, since="2026-03-02T10:00:00Z")) == [("ticket_created", "b"), ("ticket_assigned", "b")]
    assert told(asked(api, event="ticket_assigned,ticket_closed")) == [("ticket_assigned", "b")]
    closing = asked(api, event="ticket_closed")
    assert closing["items"] == []
    assert asked(api, cursor=closing["next_cursor"])["items"] == [], "what was not asked for is behind the cursor"


@pytest.mark.parametrize("cursor", ["", "x", "1", "1-", "-1-000000000000", "1-00000000000G", "1-000000000000-"])
def test_what_is_no_cursor_is_400(api: Api, cursor: str) -> None:
    assert api.request("GET", "/tickets/events", query_string={"cursor": cursor}).status_code == 400


def test_only_one_place_to_begin_can_be_given(api: Api) -> None:
    now = "2026-03-02T09:00:00Z"
    asked(api, status=422, cursor="0-000000000000", since=now)
    asked(api, status=422, newest="true", since=now)
    asked(api, status=422, newest="true", cursor="0-000000000000")


def _rewrite(desk: Desk, statement: Any) -> None:
    desk.database.run(lambda session: session.execute(statement), write=True)


def test_a_cursor_of_another_life_of_the_database_is_410(api: Api, desk: Desk) -> None:
    """A backup was restored, and the id was given again: going on silently would lose what happened in between."""
    opened(api, "a")
    work(desk)
    cursor = asked(api)["next_cursor"]
    _rewrite(desk, update(TicketEvent).values(mark="0123456789ab"))
    assert asked(api, status=410, cursor=cursor)["type"].endswith(":cursor_gone")
    _rewrite(desk, delete(TicketEvent))
    asked(api, status=410, cursor=cursor)
    assert asked(api, since="2026-03-02T08:00:00Z")["items"] == []


def test_old_events_are_forgotten_and_a_cursor_before_them_says_so(api: Api, desk: Desk, clock: TurnedClock) -> None:
    beginning = asked(api)["next_cursor"]
    cursors = []
    for title in ("a", "b", "c"):
        opened(api, title)
        work(desk)
        cursors.append(asked(api, newest="true")["next_cursor"])
        clock.turn(days=20)

    def forget() -> None:
        desk.database.run(lambda session: feed.forget_old(session, clock.now()), write=True)

    forget()
    assert told(asked(api)) == [("ticket_created", "c")]
    for gone in (beginning, cursors[0], cursors[1]):
        asked(api, status=410, cursor=gone)
    assert asked(api, cursor=cursors[2])["items"] == []
    assert told(asked(api, since="2026-03-02T08:00:00Z")) == [("ticket_created", "c")]
    clock.turn(days=100)
    forget()
    opened(api, "d")
    work(desk)
    assert told(asked(api, cursor=cursors[2])) == [("ticket_created", "d")], "the newest one keeps its place"


def test_one_sees_the_events_of_the_tickets_that_one_sees(api: Api, desk: Desk) -> None:
    api.apply("customers", name="ACME")
    opened(api, "theirs")
    opened(api, "mine", customer="ACME")
    mia = person(api, "mia", memberships=[{"customer": "ACME", "role": "member"}])
    work(desk)
    answer = asked(mia)
    assert told(answer) == [("ticket_created", "mine")]
    assert answer["next_cursor"] == asked(api)["next_cursor"]
    boss = person(api, "boss", *EVERYTHING)
    api.call("DELETE", "/tickets/TKT-000002", status=204)
    assert told(asked(mia)) == []
    assert told(asked(boss)) == [("ticket_created", "theirs"), ("ticket_created", "mine")]
    stranger = api.as_user("stranger", roles=[])
    asked(stranger, status=403)


def test_an_event_is_written_once_or_stays_in_the_outbox(
    api: Api, desk: Desk, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(api, "a")
    append = feed.append

    def broken(session: Session, message: Any) -> None:
        append(session, message)
        raise RuntimeError("the power failed")

    monkeypatch.setattr(feed, "append", broken)
    work(desk)
    assert asked(api)["items"] == []
    monkeypatch.setattr(feed, "append", append)
    clock.turn(minutes=1)
    work(desk)
    work(desk)
    assert told(asked(api)) == [("ticket_created", "a")]


def test_a_worker_that_lost_its_lease_writes_nothing(api: Api, desk: Desk, clock: TurnedClock) -> None:
    opened(api, "a")
    slow, quick = make_worker(desk), make_worker(desk)
    original = slow._handlers["ticket.event"]

    def late(message: Any) -> Any:
        clock.turn(minutes=2)
        assert quick.drain_once() == 1
        return original(message)

    slow._handlers = {"ticket.event": late}
    slow.drain_once()
    assert told(asked(api)) == [("ticket_created", "a")]


@pytest.fixture
def others(database_url: str, clock: TurnedClock) -> Iterator[list[Desk]]:
    """Further processes' views of the database."""
    found = [make_desk(settings(database_url), clock) for _ in range(3)]
    yield found
    for desk in found:
        desk.database.dispose()


def test_an_event_never_becomes_visible_before_one_with_a_lower_id(api: Api, desk: Desk, others: list[Desk]) -> None:
    """The trap of every feed on PostgreSQL: the first transaction commits last."""
    for title in ("a", "b"):
        opened(api, title)
    with desk.database.transaction(write=False) as session:
        first, second = session.execute(select(Message).order_by(Message.id)).scalars().all()
        session.expunge_all()
    written, release, other_done = threading.Event(), threading.Event(), threading.Event()

    def slow(session: Session) -> None:
        feed.append(session, first)  # type: ignore[arg-type]
        written.set()
        assert release.wait(20)

    def quick() -> None:
        others[1].database.run(lambda session: feed.append(session, second), write=True)  # type: ignore[arg-type]
        other_done.set()

    threads = [
        threading.Thread(target=lambda: others[0].database.run(slow, write=True)),
        threading.Thread(target=quick),
    ]
    threads[0].start()
    assert written.wait(20)
    threads[1].start()
    assert not other_done.wait(0.5), "it waits for the one before it"
    assert asked(api)["items"] == []
    release.set()
    for thread in threads:
        thread.join(20)
    assert told(asked(api)) == [("ticket_created", "a"), ("ticket_created", "b")]


def test_nobody_who_reads_while_workers_write_misses_or_doubles_an_event(
    api: Api, desk: Desk, others: list[Desk]
) -> None:
    count = 60
    for index in range(count):
        opened(api, str(index))
    threads = [threading.Thread(target=work, args=(other,)) for other in others]
    seen: list[str] = []
    cursor = asked(api)["next_cursor"]
    for thread in threads:
        thread.start()
    while len(seen) < count:
        answer = asked(api, cursor=cursor, limit=7)
        seen += [item["ticket_number"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if not answer["items"] and not any(thread.is_alive() for thread in threads):
            break
    for thread in threads:
        thread.join(20)
    seen += [item["ticket_number"] for item in asked(api, cursor=cursor)["items"]]
    assert sorted(seen) == [f"TKT-{index:06d}" for index in range(1, count + 1)]
