"""`deskplane seed`: the demo desk is a desk like any other, recognises what it made, and touches nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import func, select
from test_ordering_and_counting_tickets import invariant_of_counts
from test_ticket_history import assert_history_is_true

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.cli import main
from deskplane.demo.document import PACKAGED, read
from deskplane.demo.making import Made, make
from deskplane.kernel.problem import Problem
from deskplane.outbox.models import Message
from deskplane.tickets import sweep
from deskplane.tickets.announcements import TOPIC
from dumps import dump

pytestmark = pytest.mark.feature("F275")


def seed(desk: Desk, path: Path = PACKAGED, *, reset: bool = False, yes: bool = False) -> Made:
    return make(desk, read(path, desk.registry), reset=reset, beside_others=yes)


def written(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "demo.yml"
    path.write_text(yaml.safe_dump(document))
    return path


SMALL: dict[str, Any] = {
    "configuration": {
        "customers": [{"name": "Small Shop", "number_prefix": "SHOP"}],
        "labels": [{"name": "till"}],
    },
    "tickets": [
        {
            "name": "till",
            "opened": "2d",
            "by": "mia@shop.example",
            "title": "The till is stuck",
            "customer": "Small Shop",
        }
    ],
}


def waiting(desk: Desk) -> int:
    """How many events wait to be told."""
    with desk.database.transaction(write=False) as session:
        events = select(func.count()).select_from(Message).where(Message.topic == TOPIC)
        return session.execute(events).scalar_one()


def tickets(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("GET", "/tickets?sort=number&limit=200")["items"]
    return found


def test_it_is_a_desk_with_everything_in_it_and_a_second_run_makes_nothing(
    api: Api, desk: Desk, clock: TurnedClock
) -> None:
    made = seed(desk)
    there = tickets(api)
    assert (made.opened, made.deleted) == (len(there), 0)
    assert {ticket["status"] for ticket in there} == {
        "open", "in_progress", "waiting", "resolved", "closed", "cancelled"
    }  # fmt: skip
    states = {ticket["sla"]["state"] for ticket in there}
    assert states >= {"ok", "warning", "critical", "breached", "paused", "met"}, states
    for kind in ("customers", "contacts", "assets", "departments", "sla-policies", "calendars", "labels"):
        assert api.call("GET", f"/{kind}?limit=1")["items"], kind
    for ticket in there:
        assert_history_is_true(api, ticket["number"])
    directions = {
        message["direction"]
        for ticket in there
        for message in api.call("GET", f"/tickets/{ticket['number']}/messages")["items"]
    }
    assert directions == {"inbound", "outbound", "internal"}
    invariant_of_counts(desk)
    before = dump(desk)
    clock.turn(minutes=1)
    assert seed(desk) == Made()
    assert dump(desk) == before


def test_nobody_is_told_of_what_is_made_up_but_of_what_happens_to_it_later(
    api: Api, desk: Desk, clock: TurnedClock
) -> None:
    api.apply("webhooks", name="ears", url="https://ears.example.org/hook", events=["ticket_created"])
    before = waiting(desk)
    seed(desk)
    assert waiting(desk) == before
    desk.database.run(lambda session: sweep.tell_due(desk.automation(session)), write=True)
    assert waiting(desk) == before
    clock.turn(days=30)
    desk.database.run(lambda session: sweep.tell_due(desk.automation(session)), write=True)
    told = waiting(desk)
    assert told > before
    number = next(ticket["number"] for ticket in tickets(api) if ticket["status"] == "open")
    api.call("PATCH", f"/tickets/{number}", {"priority": "low"})
    assert waiting(desk) == told + 1


def test_a_reset_makes_its_own_anew_and_leaves_what_people_made(api: Api, desk: Desk) -> None:
    seed(desk)
    first = {ticket["number"] for ticket in tickets(api)}
    api.apply("customers", name="Own Customer", number_prefix="OWN")
    api.apply("departments", name="Service desk", description="Changed by hand")
    ours = api.call("POST", "/tickets", {"title": "Ours", "customer": "Harbour Museum"}, status=201)
    theirs = api.call("POST", "/tickets", {"title": "Theirs", "customer": "Own Customer"}, status=201)
    assert seed(desk).opened == 0
    made = seed(desk, reset=True)
    assert (made.deleted, made.opened) == (len(first), len(first))
    numbers = {ticket["number"] for ticket in tickets(api)}
    assert numbers & first == set()
    assert {ours["number"], theirs["number"]} < numbers
    for ticket in (ours, theirs):
        assert api.call("GET", f"/tickets/{ticket['number']}") == ticket
    (department,) = api.call("GET", "/departments?name=Service%20desk")["items"]
    assert department["description"] == "Where everything comes in"
    assert api.call("GET", "/customers?name=Own%20Customer")["items"]
    invariant_of_counts(desk)


def test_a_document_of_ones_own_takes_its_place(api: Api, desk: Desk, tmp_path: Path) -> None:
    seed(desk)
    made = seed(desk, written(tmp_path, SMALL), reset=True)
    assert [ticket["title"] for ticket in tickets(api)] == ["The till is stuck"]
    assert made.opened == 1
    assert [customer["name"] for customer in api.call("GET", "/customers")["items"]] == ["Small Shop"]
    made = seed(desk, written(tmp_path, {}), reset=True)
    assert (made.opened, made.deleted, tickets(api)) == (0, 1, [])
    assert api.call("GET", "/customers")["items"] == []


def test_what_others_depend_on_is_not_taken_away(api: Api, desk: Desk, tmp_path: Path) -> None:
    seed(desk, written(tmp_path, SMALL))
    ours = api.call("POST", "/tickets", {"title": "Ours", "customer": "Small Shop"}, status=201)
    before = dump(desk)
    with pytest.raises(Problem) as refused:
        seed(desk, written(tmp_path, {}), reset=True)
    (error,) = refused.value.errors
    assert error.detail.startswith("customer Small Shop cannot be deleted while others depend on it: 1 ticket")
    assert dump(desk) == before
    assert api.call("GET", f"/tickets/{ours['number']}") == ours


def test_a_desk_with_data_of_its_own_is_asked_for_first(api: Api, desk: Desk, tmp_path: Path) -> None:
    api.apply("customers", name="Own Customer")
    before = dump(desk)
    with pytest.raises(ValueError, match=r"has data of its own \(1 customers\); .* add --yes"):
        seed(desk)
    assert dump(desk) == before
    small = written(tmp_path, SMALL)
    assert seed(desk, small, yes=True).opened == 1
    assert seed(desk, small) == Made()  # it is there, so that nobody has to be asked
    taken = {"configuration": {"customers": [{"name": "Own Customer", "notes": "Not yours"}]}}
    before = dump(desk)
    with pytest.raises(
        ValueError, match="not made by this command, and not to be changed by it: customer Own Customer"
    ):
        seed(desk, written(tmp_path, taken), yes=True)
    assert dump(desk) == before


def test_everything_wrong_with_a_document_is_named_with_its_place(api: Api, desk: Desk, tmp_path: Path) -> None:
    ticket = SMALL["tickets"][0]
    bad = {
        "configuration": {"customers": [{"name": "x", "colour": "blue"}]},
        "tickets": [
            {**ticket, "opened": "soon"},
            {**ticket, "then": [{"after": "3d", "by": "root", "say": "x"}, {"by": "root", "note": 5}]},
            "x",
        ],
    }
    before = dump(desk)
    with pytest.raises(Problem) as refused:
        seed(desk, written(tmp_path, bad))
    assert {error.pointer for error in refused.value.errors} == {
        "#/configuration/customers/0/colour",
        "#/tickets/0/opened",
        "#/tickets/1/then/0/after",
        "#/tickets/1/then/1/after",
        "#/tickets/1/then/1/note",
        "#/tickets/1/name",
        "#/tickets/2",
    }
    for given, where, detail in (
        ({**ticket, "assignee": "nobody"}, "#/tickets/0/assignee", "nobody"),
        ({**ticket, "by": "nobody"}, "#/tickets/0/by", "there is no user named nobody"),
        ({**ticket, "then": [{"after": 1, "by": "nobody"}]}, "#/tickets/0/then/0/by", "there is no user named nobody"),
    ):
        with pytest.raises(Problem) as refused:
            seed(desk, written(tmp_path, {**SMALL, "tickets": [given]}))
        (error,) = refused.value.errors
        assert (error.pointer, detail in error.detail) == (where, True)
    assert dump(desk) == before


def test_the_command_says_what_it_did_or_why_it_did_not(
    api: Api, desk: Desk, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESKPLANE_DATABASE_URL", database_url)
    monkeypatch.setenv("DESKPLANE_ENVIRONMENT", "test")
    monkeypatch.setenv("DESKPLANE_SECRET_KEY", desk.settings.secret())
    file = str(written(tmp_path, SMALL))

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["seed", *arguments])
        return done.exit_code, done.stderr.splitlines()[-1]

    assert run("--config", file) == (0, "made 1 tickets, and changed 2 objects of the configuration")
    assert run("--config", file) == (0, "made 0 tickets, and changed 0 objects of the configuration")
    code, said = run("--tickets", "5", "--reset")
    assert (code, "--tickets goes with neither" in said) == (2, True)
    (tmp_path / "bad.yml").write_text("tickets: [a: b")
    code, said = run("--config", str(tmp_path / "bad.yml"))
    assert (code, f"{tmp_path / 'bad.yml'}, line 1: is no YAML: " in said) == (1, True)
    (tmp_path / "bad.yml").write_text("ticket: []")
    assert run("--config", str(tmp_path / "bad.yml"))[1].endswith("must be an object of configuration and tickets")
