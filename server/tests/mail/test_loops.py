"""Automatic answers: to people, and never without end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.mail import loops, tasks
from deskplane.mail.models import Mail
from mail.incoming_help import KIM, department, letter, received, signed_id
from tickets.ticket_help import changed, messages

DEPARTMENT: dict[str, Any] = {
    "smtp": {"server": "localhost", "tls": "none", "from_address": "desk@example.org"},
    "auto_reply": {"enabled": True, "subject": "Re: ${subject}", "body_html": "<p>It is ${ticket_number}</p>"},
}


@pytest.fixture(autouse=True)
def service_desk(api: Api) -> Iterator[None]:
    department(api, **DEPARTMENT)
    return None


def answers(desk: Desk) -> list[str]:
    """To whom automatic answers were written."""
    with desk.database.transaction(write=False) as session:
        return list(session.execute(select(Mail.recipient).where(Mail.purpose == "auto-reply")).scalars())


def take(desk: Desk, raw: bytes) -> dict[str, Any]:
    return received(desk, raw, auto_reply=tasks.answer)


def test_a_person_is_answered_once_for_a_new_ticket(desk: Desk, api: Api) -> None:
    take(desk, letter())
    take(desk, letter("Re", headers={"In-Reply-To": signed_id(desk, "TKT-000001")}))
    assert answers(desk) == ["kim@acme.example"]


@pytest.mark.parametrize(
    ("headers", "sender"),
    [
        ({"Return-Path": "<>"}, KIM),
        ({"Return-Path": "<MAILER-DAEMON@mx.example>"}, KIM),
        ({}, "Mailer-Daemon@acme.example"),
        ({}, "postmaster@acme.example"),
        ({}, "no-reply@acme.example"),
        ({"Auto-Submitted": "auto-replied"}, KIM),
        ({"Auto-Submitted": "Auto-Generated; owner=x"}, KIM),
        ({"Precedence": "BULK"}, KIM),
        ({"Precedence": "junk"}, KIM),
        ({"Precedence": "list"}, KIM),
        ({"List-Id": "<a.example>"}, KIM),
        ({"X-Auto-Response-Suppress": "DR, AutoReply"}, KIM),
        ({"X-Deskplane": "reply"}, KIM),
    ],
)
def test_what_no_person_wrote_is_not_answered(desk: Desk, headers: dict[str, str], sender: str) -> None:
    row = take(desk, letter(sender=sender, headers=headers))
    assert row["state"] in ("processed", "quarantined")
    assert answers(desk) == []
    assert row["reason"]


def test_a_person_who_says_so_is_answered(desk: Desk) -> None:
    take(desk, letter(headers={"Auto-Submitted": "no", "Precedence": "first-class"}))
    assert answers(desk) == ["kim@acme.example"]


def test_what_the_desk_sent_by_itself_makes_no_ticket(desk: Desk, api: Api) -> None:
    row = take(desk, letter(headers={"X-Deskplane": "notification", "Auto-Submitted": "auto-generated"}))
    assert (row["state"], row["reason"]) == ("ignored", "a desk sent it by itself")
    assert api.call("GET", "/tickets")["items"] == []


def test_two_mailboxes_that_echo_each_other_stop_at_the_cap(desk: Desk, api: Api, clock: TurnedClock) -> None:
    """Whatever headers it drops: every answer comes back as a new mail."""
    most = loops.CAPS[0][1]
    echoes = 1
    seen = 0
    while seen < echoes and echoes < 50:
        take(desk, letter(f"Echo {seen}"))
        seen += 1
        echoes = 1 + len(answers(desk))
        clock.turn(seconds=10)
    assert len(answers(desk)) == most
    assert seen == most + 1
    clock.turn(hours=1)
    for _ in range(40):
        take(desk, letter("Echo on"))
        clock.turn(hours=1)
    day = loops.CAPS[1][1]
    assert len(answers(desk)) <= 2 * day


def bounce(original: str, recipient: str = "kim@acme.example") -> bytes:
    """A delivery report (RFC 3464) about a mail with that Message-ID."""
    return (
        "Return-Path: <>\r\nFrom: Mail System <MAILER-DAEMON@mx.example>\r\nTo: desk@example.org\r\n"
        f"Subject: Undelivered Mail\r\nMessage-ID: <b{abs(hash(original))}@mx.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="edge"\r\n\r\n'
        "--edge\r\nContent-Type: text/plain\r\n\r\nI could not deliver it.\r\n"
        "--edge\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n"
        f"--edge\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: {original}\r\nSubject: [TKT-000001] x\r\n\r\nx\r\n"
        "--edge--\r\n"
    ).encode()


def test_a_bounce_is_an_internal_note_on_its_ticket(desk: Desk, api: Api) -> None:
    take(desk, letter())
    changed(api, "TKT-000001", status="closed")
    row = take(desk, bounce(signed_id(desk, "TKT-000001")))
    assert row["state"] == "processed"
    note = messages(api, "TKT-000001")[-1]
    assert (note["direction"], note["author"]) == ("internal", "automation")
    for words in ("kim@acme.example", "550 5.1.1 no such user", "I could not deliver it."):
        assert words in note["body_text"]
    assert api.call("GET", "/tickets/TKT-000001")["status"] == "closed"
    assert len(answers(desk)) == 1


def test_a_bounce_of_nothing_of_ours_waits_in_the_quarantine(desk: Desk, api: Api) -> None:
    take(desk, letter())
    for original in ("<tkt-000001.reply.000000000000.00000000000000000000000000000000@x>", "<other@x>"):
        assert take(desk, bounce(original))["state"] == "quarantined"
    plain = letter("Mail delivery failed", sender="MAILER-DAEMON@mx.example", headers={"Return-Path": "<>"})
    assert take(desk, plain)["state"] == "quarantined"
    answering = letter(
        "Mail delivery failed",
        sender="MAILER-DAEMON@mx.example",
        headers={"Return-Path": "<>", "References": signed_id(desk, "TKT-000001")},
    )
    assert take(desk, answering)["state"] == "processed"
    assert [message["direction"] for message in messages(api, "TKT-000001")] == ["inbound", "internal"]


def test_a_bounce_of_a_final_ticket_changes_nothing(desk: Desk, api: Api) -> None:
    take(desk, letter())
    changed(api, "TKT-000001", status="closed")
    api.apply("departments", name="Service Desk", workflow="itil")
    assert take(desk, bounce(signed_id(desk, "TKT-000001")))["state"] == "ignored"
    assert len(messages(api, "TKT-000001")) == 1
