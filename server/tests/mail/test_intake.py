"""What becomes of a mail: a ticket, an answer on one, a note, a place in the quarantine. Nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from deskplane.app import Desk
from mail.incoming_help import KIM, department, letter, received, row_of, signed_id, stored
from tickets.ticket_help import changed, events, history, messages, read


@pytest.fixture(autouse=True)
def service_desk(api: Api) -> str:
    return department(api)


def tickets(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("GET", "/tickets?sort=created_at")["items"]
    return found


@pytest.mark.feature("F097", "F148")
def test_a_mail_opens_a_ticket_of_its_department_and_makes_its_contact(desk: Desk, api: Api) -> None:
    row = received(desk, letter("Der Drücker brännt", "Bitte helfen.\n\nKim"))
    (ticket,) = tickets(api)
    assert row["state"] == "processed"
    assert (ticket["title"], ticket["department"], ticket["contact"], ticket["source"], ticket["customer"]) == (
        "Der Drücker brännt",
        "Service Desk",
        "kim@acme.example",
        "email",
        None,
    )
    (message,) = messages(api, ticket["number"])
    assert (message["direction"], message["author"]) == ("inbound", "kim@acme.example")
    assert message["body_text"] == "Bitte helfen.\n\nKim"
    assert events(desk) == [("ticket_created", ticket["number"])]
    (contact,) = api.call("GET", "/contacts")["items"]
    assert (contact["first_name"], contact["last_name"]) == ("Kim", "Lee")
    assert {entry["cause"] for entry in history(api, ticket["number"])} == {"mail"}


def test_the_customer_is_the_contacts_else_the_departments_else_that_of_the_domain(desk: Desk, api: Api) -> None:
    for name in ("ACME", "Globex"):
        api.apply("customers", name=name)
    api.apply("contacts", email="kim@acme.example", customer="ACME")
    api.apply("contacts", email="one@gmail.com", customer="ACME")
    department(api, "Globex Desk", customer="Globex")
    received(desk, letter("1"))
    received(desk, letter("2", sender="lou@acme.example"))
    received(desk, letter("3", sender="max@sub.acme.example"))
    received(desk, letter("4", sender="nobody@gmail.com"))
    received(desk, letter("5", sender="new@elsewhere.example"), "Globex Desk")
    found = {ticket["title"]: ticket["customer"] for ticket in tickets(api)}
    assert found == {"1": "ACME", "2": "ACME", "3": None, "4": None, "5": "Globex"}
    api.apply("contacts", email="lou@acme.example", customer="Globex")
    received(desk, letter("6", sender="noa@acme.example"))
    assert tickets(api)[-1]["customer"] is None, "the domain is of two customers"


def test_an_answer_to_our_own_message_id_is_a_message_of_that_ticket(desk: Desk, api: Api) -> None:
    received(desk, letter())
    number = tickets(api)[0]["number"]
    text = "Yes.\n\nOn Mon, 2 Mar 2026 at 10:00, Desk <desk@example.org> wrote:\n> Is it still on fire?\n"
    answer = letter("Re: whatever", text, headers={"In-Reply-To": signed_id(desk, number)})
    received(desk, answer)
    assert len(tickets(api)) == 1
    assert [message["body_text"] for message in messages(api, number)] == ["Please help.", "Yes."]
    assert events(desk)[-1] == ("comment_added", number)
    # a colleague to whom it was passed on
    passed = letter("Fwd", sender="lou@else.example", headers={"References": f"<x@y> {signed_id(desk, number)}"})
    received(desk, passed)
    assert [message["author"] for message in messages(api, number)][-1] == "lou@else.example"


def test_who_is_a_stranger_to_a_ticket_does_not_get_onto_it(desk: Desk, api: Api) -> None:
    received(desk, letter())
    number = tickets(api)[0]["number"]
    made = signed_id(desk, number)
    other = signed_id(desk, "TKT-000099")
    forged = [
        letter("a", headers={"In-Reply-To": made.replace(number.lower(), "tkt-000002")}),
        letter("b", headers={"In-Reply-To": made.replace(".reply.", ".alert.")}),
        letter("c", headers={"References": f"<{number.lower()}.reply.000000000000.{'0' * 32}@example.org>"}),
        letter("d", headers={"In-Reply-To": other}),
        letter(f"Re: [{number}] e", sender="eve@evil.example"),
        letter(f"Re: [{number}] f", sender="kim@acme.example.evil.example"),
        letter(f"Re: [{number}] g", sender='"kim@acme.example" <eve@evil.example>'),
        letter(f"Re: [{number}] h", sender="eve@evil.example", headers={"Cc": KIM, "Reply-To": KIM}),
    ]
    for mail in forged:
        assert received(desk, mail)["state"] == "processed"
    assert len(messages(api, number)) == 1
    found = tickets(api)
    assert len(found) == 1 + len(forged)
    assert all(ticket["links"] == [] for ticket in (read(api, one["number"]) for one in found) if "links" in ticket)


def test_a_number_in_the_subject_counts_for_who_takes_part(desk: Desk, api: Api) -> None:
    received(desk, letter())
    number = tickets(api)[0]["number"]
    api.apply("users", username="mia", email="Mia@example.org", roles=["admin"])
    changed(api, number, assignee="mia")
    received(desk, letter(f"AW: [{number.lower()}] x", "one"))
    received(desk, letter(f"Re: [{number}] x", "two", sender="MIA@Example.org"))
    received(desk, letter("x", "three", sender="lou@a.example", headers={"References": signed_id(desk, number)}))
    received(desk, letter(f"[{number}]", "four", sender="lou@a.example"))
    assert [message["body_text"] for message in messages(api, number)][1:] == ["one", "two", "three", "four"]
    assert {message["direction"] for message in messages(api, number)} == {"inbound"}


def test_an_answer_reopens_what_was_done_with_and_follows_up_what_is_final(desk: Desk, api: Api) -> None:
    received(desk, letter())
    number = tickets(api)[0]["number"]
    for status in ("resolved", "closed"):
        changed(api, number, status=status)
        received(desk, letter("Re", status, headers={"In-Reply-To": signed_id(desk, number)}))
        assert read(api, number)["status"] == "open"
        assert events(desk)[-1] == ("comment_added", number)
    assert read(api, number)["reopened_count"] == 2
    department(api, "ITIL", workflow="itil")
    received(desk, letter("final"), "ITIL")
    final = tickets(api)[-1]["number"]
    for status in ("in_progress", "resolved"):
        changed(api, final, status=status)
    received(desk, letter("Re", headers={"In-Reply-To": signed_id(desk, final)}), "ITIL")
    assert read(api, final)["status"] == "in_progress"
    for status in ("resolved", "closed"):
        changed(api, final, status=status)
    received(desk, letter("Re: final", "Again!", headers={"In-Reply-To": signed_id(desk, final)}), "ITIL")
    new = tickets(api)[-1]
    assert (new["title"], new["status"], read(api, final)["status"]) == ("Re: final", "open", "closed")
    (link,) = api.call("GET", f"/tickets/{new['number']}/links")["items"]
    assert (link["type"], link["ticket"]) == ("relates_to", final)


def test_an_answer_to_a_merged_ticket_goes_where_its_messages_went(desk: Desk, api: Api) -> None:
    received(desk, letter("a"))
    received(desk, letter("b"))
    one, two = (ticket["number"] for ticket in tickets(api))
    api.call("POST", f"/tickets/{one}/merge", {"into": two})
    received(desk, letter("Re", "late", headers={"In-Reply-To": signed_id(desk, one)}))
    assert messages(api, two)[-1]["body_text"] == "late"


@pytest.mark.parametrize(
    ("headers", "sender"),
    [
        ({"Auto-Submitted": "auto-replied (vacation)"}, KIM),
        ({"Return-Path": "<>"}, KIM),
        ({}, "Postmaster@acme.example"),
    ],
)
def test_what_nobody_wrote_reopens_nothing(desk: Desk, api: Api, headers: dict[str, str], sender: str) -> None:
    received(desk, letter())
    number = tickets(api)[0]["number"]
    changed(api, number, status="closed")
    row = received(desk, letter("Out", sender=sender, headers={"In-Reply-To": signed_id(desk, number), **headers}))
    assert row["state"] == "processed"
    assert read(api, number)["status"] == "closed"
    assert len(messages(api, number)) == 2
    api.apply("departments", name="Service Desk", workflow="itil")
    row = received(desk, letter("Out2", sender=sender, headers={"In-Reply-To": signed_id(desk, number), **headers}))
    assert row["state"] == "ignored"
    assert len(tickets(api)) == 1


def test_a_mail_that_is_delivered_again_is_counted(desk: Desk, api: Api) -> None:
    first = stored(desk, letter(message_id="<same@acme.example>"))
    assert first is not None
    assert stored(desk, b"Received: from elsewhere\r\n" + letter(message_id="<same@acme.example>")) is None
    assert row_of(desk, first)["deliveries"] == 2
    assert stored(desk, letter(text="Another body", message_id="<same@acme.example>")) is not None
    nameless = b"From: kim@acme.example\r\nSubject: %b\r\n\r\nPlease call me."
    assert stored(desk, nameless % b"one") is not None
    assert stored(desk, nameless % b"two") is not None, "without a Message-ID the same words may be of two mails"
    assert stored(desk, nameless % b"two") is None


def test_one_mail_to_two_departments_is_one_ticket(desk: Desk, api: Api) -> None:
    department(api, "Sales")
    mail = letter(message_id="<both@acme.example>")
    assert received(desk, mail)["state"] == "processed"
    row = received(desk, mail, "Sales")
    assert (row["state"], row["ticket_id"]) == ("ignored", None)
    assert "Service Desk" in row["reason"]
    assert len(tickets(api)) == 1
    # and an answer is one message
    answer = letter("Re", message_id="<re@x>", headers={"In-Reply-To": signed_id(desk, tickets(api)[0]["number"])})
    received(desk, answer, "Sales")
    received(desk, answer)
    assert len(messages(api, tickets(api)[0]["number"])) == 2
