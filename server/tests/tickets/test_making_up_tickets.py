"""`deskplane seed`: a desk of tickets that were made up is as whole as one of tickets that people opened."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from test_ordering_and_counting_tickets import invariant_of_counts
from test_searching_tickets import found
from test_ticket_history import assert_history_is_true
from ticket_help import EVERYTHING, listed, messages, opened, person, read

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.cli import main
from deskplane.seeding import seed
from deskplane.tickets import generator, search, service, sweep

MANY = 120


@pytest.fixture
def seeded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("deskplane.seeding.BATCH", 50)
    assert seed(desk, MANY, 3, lambda _line: None) == MANY
    return desk


def everything(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """What was written of the tickets, without ids that are given anew."""
    statements = {
        "tickets": "SELECT sequence, title, description, status, created_at, updated_at, version FROM tickets",
        "ticket_messages": "SELECT body, direction, author, created_at FROM ticket_messages",
        "ticket_history": "SELECT at, author, field FROM ticket_history",
        "ticket_words": "SELECT talk, talk_bytes FROM ticket_words",
        "ticket_pauses": "SELECT since, until, status FROM ticket_pauses",
        "ticket_tags": "SELECT tag FROM ticket_tags",
    }
    with desk.database.transaction(write=False) as session:
        return {
            table: sorted((tuple(row) for row in session.execute(text(statement))), key=repr)
            for table, statement in statements.items()
        }


def test_every_ticket_is_whole(seeded: Desk, api: Api) -> None:
    items = api.call("GET", "/tickets?sort=number&limit=200")["items"]
    assert [ticket["number"] for ticket in items] == [f"SEED-{n:06d}" for n in range(1, MANY + 1)]
    assert len({ticket["status"] for ticket in items}) >= 4
    for ticket in items[:: MANY // 20]:
        assert_history_is_true(api, ticket["number"])
        said = messages(api, ticket["number"])
        assert len(said) == 3
        assert ticket["created_at"] <= said[0]["created_at"] <= said[2]["created_at"] <= ticket["updated_at"]
    assert {"met", "breached", "none"} <= {ticket["sla"]["state"] for ticket in items}
    invariant_of_counts(seeded)
    with seeded.database.transaction(write=False) as session:
        work = seeded.command_line(session)
        drafts = service.loaded(work)
        heads = dict(session.execute(text("SELECT ticket_id, head FROM ticket_words")).all())
        if not seeded.database.is_sqlite:
            heads = {key: " ".join(part.strip("'") for part in head.split()) for key, head in heads.items()}
    for draft in drafts:
        assert sorted(search.head_of(draft.columns).split()) == sorted(heads[draft.columns["id"]].split())
    assert len(found(api, generator.RARE_WORD)) == MANY // 37
    assert found(api, "SEED-000007") == [items[6]["title"]]


def test_internal_messages_stay_internal(seeded: Desk, api: Api) -> None:
    other = person(api, "other", *EVERYTHING)
    with seeded.database.transaction(write=False) as session:
        number, word = session.execute(
            text(
                "SELECT t.sequence, m.body FROM ticket_messages m JOIN tickets t ON t.id = m.ticket_id "
                "WHERE m.direction = 'internal' ORDER BY m.id"
            )
        ).first()
    q = f"SEED-{number:06d} " + " ".join(sorted(set(word.lower().strip(".").split()))[:15])
    assert len(found(api, q)) == 1
    assert found(other, q) == []


def test_nobody_is_told_of_their_deadlines(seeded: Desk, clock: TurnedClock) -> None:
    for days in (0, 400):
        clock.turn(days=days)
        assert not seeded.database.run(lambda session: sweep.tell_due(seeded.automation(session)), write=True)


def test_it_goes_on_where_it_was_and_knows_its_own(seeded: Desk, api: Api) -> None:
    opened(api, "a real one")
    assert seed(seeded, MANY, 3, lambda _line: None) == 0
    assert seed(seeded, MANY + 5, 3, lambda _line: None) == 5
    assert len(listed(api, "?limit=200")) == MANY + 6
    assert read(api, "TKT-000001")["title"] == "a real one"
    assert opened(api, "another", customer="seed-few")["number"] == f"SEED-{MANY + 6:06d}"
    assert opened(api, "another")["number"] == "TKT-000002"
    invariant_of_counts(seeded)


def test_it_makes_the_same_in_one_run_as_in_several(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(desk, 30, 2, lambda _line: None)
    at_once = everything(desk)
    assert len(at_once["tickets"]) == 30
    desk.database.run(lambda session: session.execute(text("DELETE FROM tickets")), write=True)
    desk.database.run(lambda session: session.execute(text("DELETE FROM ticket_counters")), write=True)
    monkeypatch.setattr("deskplane.seeding.BATCH", 7)
    for count in (3, 17, 30):
        seed(desk, count, 2, lambda _line: None)
    assert everything(desk) == at_once


def test_others_with_its_prefix_are_left_alone(desk: Desk, api: Api) -> None:
    api.apply("customers", name="ACME", number_prefix="SEED")
    opened(api, customer="ACME")
    with pytest.raises(ValueError, match="prefix SEED is in use"):
        seed(desk, 3, 0, lambda _line: None)


def test_a_desk_in_production_is_left_alone(desk: Desk, database_url: str) -> None:
    environment = {"DESKPLANE_DATABASE_URL": database_url, "DESKPLANE_SECRET_KEY": secrets.token_urlsafe(40)}
    refused = CliRunner().invoke(main, ["seed", "--tickets", "3"], env=environment)
    assert refused.exit_code == 1
    assert refused.stderr == (
        "deskplane: environment is production; to make up tickets on a desk that people work on, add --yes\n"
    )
    done = CliRunner().invoke(main, ["seed", "--tickets", "3", "--yes"], env=environment)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.endswith("made 3 tickets\n")
