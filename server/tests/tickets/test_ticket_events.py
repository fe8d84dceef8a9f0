"""What tickets tell others: one event a request, with the values as at the event."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from ticket_help import changed, events, opened

from conftest import Api
from deskplane.app import Desk
from deskplane.outbox.models import Message

NUMBER = "TKT-000001"


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ({"title": "y"}, "ticket_updated"),
        ({"title": "y", "priority": "low", "tags": ["a"]}, "ticket_updated"),
        ({"status": "in_progress"}, "ticket_updated"),
        ({"status": "resolved"}, "ticket_updated"),
        ({"status": "cancelled"}, "ticket_updated"),
        ({"status": "closed"}, "ticket_closed"),
        ({"status": "closed", "assignee": "root", "title": "y"}, "ticket_closed"),
        ({"assignee": "root"}, "ticket_assigned"),
        ({"assignee": "root", "title": "y", "status": "waiting"}, "ticket_assigned"),
        ({"comment": "internal"}, None),
        ({"comment": "internal", "title": "y"}, "ticket_updated"),
        ({}, None),
        ({"title": "x"}, None),
    ],
)
def test_a_change_is_one_event_or_none(api: Api, desk: Desk, body: dict[str, Any], event: str | None) -> None:
    opened(api, "x")
    changed(api, NUMBER, **body)
    expected = [("ticket_created", NUMBER)] + ([(event, NUMBER)] if event else [])
    assert events(desk) == expected


@pytest.mark.feature("F087")
def test_opening_is_one_event_however_much_is_filled_in(api: Api, desk: Desk) -> None:
    opened(api, status="closed", assignee="root", tags=["a"])
    assert events(desk) == [("ticket_created", NUMBER)]


def test_taking_the_assignee_away_is_an_event(api: Api, desk: Desk) -> None:
    opened(api, assignee="root")
    changed(api, NUMBER, assignee=None)
    assert events(desk)[1:] == [("ticket_assigned", NUMBER)]


def test_what_was_refused_is_no_event(api: Api, desk: Desk) -> None:
    api.call("POST", "/tickets", {"title": "x", "type": "nothing"}, status=422)
    opened(api)
    changed(api, NUMBER, answers=422, type="nothing")
    assert events(desk) == [("ticket_created", NUMBER)]


@pytest.mark.feature("F087")
def test_an_event_bears_the_values_of_its_moment(api: Api, desk: Desk) -> None:
    api.apply("settings", key="public_url", value="https://desk.example.org")
    api.apply("customers", name="ACME")
    department = api.apply("departments", name="Desk")["after"]["id"]
    opened(api, "First", customer="ACME", department="Desk", assignee="root", description="secret")
    changed(api, NUMBER, title="Second", comment="an internal note")
    with desk.database.transaction(write=False) as session:
        first, second = session.execute(select(Message.payload).order_by(Message.id)).scalars()
    assert first == {
        "event": "ticket_created",
        "ticket_number": NUMBER,
        "subject": "First",
        "status": "open",
        "priority": "medium",
        "assigned_to": "root",
        "customer": "ACME",
        "department": "Desk",
        "url": f"https://desk.example.org/tickets/{NUMBER}",
        "timestamp": "2026-03-02T09:00:00Z",
        "aside": {"changed": [], "message": None, "department_id": department},
    }
    assert second["subject"] == "Second"
    assert second["aside"] == {"changed": ["title"], "message": None, "department_id": department}, (
        "an internal one is none to tell of"
    )
    assert "internal note" not in str(second), "internal messages never leave the house"


def test_the_public_address_stands_in_answers_too(api: Api) -> None:
    api.apply("settings", key="public_url", value="https://desk.example.org/helpdesk/")
    assert opened(api)["url"] == f"https://desk.example.org/helpdesk/tickets/{NUMBER}"
    assert api.call("GET", "/tickets")["items"][0]["url"] == f"https://desk.example.org/helpdesk/tickets/{NUMBER}"


def test_deleting_is_no_event(api: Api, desk: Desk) -> None:
    opened(api)
    api.call("DELETE", f"/tickets/{NUMBER}", status=204)
    assert events(desk) == [("ticket_created", NUMBER)]
