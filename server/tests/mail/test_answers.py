"""What the desk writes by itself to whom a ticket is of: once, and never more than the caps allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from smtp_help import Mailbox, drain, mails, plain, smtp_server
from sqlalchemy import func, select

from conftest import Api, TurnedClock
from deskplane.app import Desk
from deskplane.mail import answers, loops
from deskplane.mail.models import Mail
from deskplane.tickets import service
from tickets.ticket_help import changed, opened

ADA = "ada@example.net"
TEXT = {
    "enabled": True,
    "subject": "Re: ${subject}",
    "body_html": "<p>Got {{subject}} as <b>${ticket_number}</b> ${x}</p>",
}


@pytest.fixture
def box(api: Api) -> Iterator[Mailbox]:
    with smtp_server() as found:
        api.apply("departments", name="Desk", smtp=plain(found), auto_reply=TEXT, follow_up=TEXT | {"after_days": 3})
        yield found


def by_mail(api: Api, title: str = "Fire & <smoke>", **more: Any) -> str:
    """A ticket that came by mail."""
    found: str = opened(api, title, contact=ADA, department="Desk", source="email", **more)["number"]
    return found


def answer(desk: Desk, number: str, to: str = ADA, **more: Any) -> bool:
    """What the reading of a mail does."""

    def run(session: Any) -> bool:
        work = desk.automation(session)
        return answers.auto_reply(work, service.load_by_number(work, number), to, **more)

    return desk.database.run(run, write=True)


def remind(desk: Desk) -> int:
    """Runs the job, step by step, and answers how many reminders it made."""

    def count(session: Any) -> int:
        return session.execute(select(func.count()).where(Mail.purpose == "follow-up")).scalar_one()

    before = desk.database.run(count, write=False)
    while desk.database.run(lambda session: answers.remind(desk.automation(session)), write=True):
        pass
    drain(desk)
    return desk.database.run(count, write=False) - before


@pytest.mark.feature("F142")
def test_a_mail_that_opened_a_ticket_is_answered_once(api: Api, desk: Desk, box: Mailbox) -> None:
    number = by_mail(api)
    assert answer(desk, number, answers="<one@example.net>", thread=["<zero@example.net>", "<one@example.net>"])
    assert not answer(desk, number)
    drain(desk)
    (taken,) = box.taken
    assert taken.recipient == ADA
    assert taken.mail["Subject"] == f"[{number}] Re: Fire & <smoke>"
    assert taken.body("html").count(f"<p>Got Fire &amp; &lt;smoke&gt; as <b>{number}</b> ${{x}}</p>") == 1
    assert taken.body().strip() == f"Got Fire & <smoke> as {number} ${{x}}"
    assert taken.mail["Auto-Submitted"] == "auto-replied"
    assert taken.mail["In-Reply-To"] == "<one@example.net>"
    assert taken.mail["References"].split() == ["<zero@example.net>", "<one@example.net>"]


def test_one_address_gets_so_many_answers_whatever_it_sends(
    api: Api, desk: Desk, box: Mailbox, clock: TurnedClock
) -> None:
    window, most = loops.CAPS[0]
    given = [answer(desk, by_mail(api), "Ada@example.net" if index % 2 else ADA) for index in range(most + 3)]
    assert given == [True] * most + [False] * 3
    assert answer(desk, by_mail(api), "bob@example.net")
    clock.turn(seconds=window.total_seconds())
    assert answer(desk, by_mail(api))


def test_where_the_department_has_no_answer_the_customers_mail_takes_its_place(
    api: Api, desk: Desk, box: Mailbox
) -> None:
    api.apply("departments", name="Desk", auto_reply={"enabled": False})
    assert not answer(desk, by_mail(api))
    api.apply("customers", name="ACME", features={"email_notifications": True, "email_templates": True})
    number = by_mail(api, customer="ACME")
    drain(desk)
    assert box.taken == [], "whether a machine wrote is only known where the mail was read"
    assert answer(desk, number)
    api.apply("email-templates", customer="ACME", event="ticket_created", subject="Hello", body_text="${ticket_number}")
    assert answer(desk, number := by_mail(api, customer="ACME"))
    drain(desk)
    first, second = box.taken
    assert "we have received your request" in first.body()
    assert (second.mail["Subject"], second.body().strip()) == (f"[{number}] Hello", number)
    api.apply("customers", name="ACME", features={"email_notifications": False})
    assert not answer(desk, by_mail(api, customer="ACME"))


def test_what_strangers_call_a_message_id_is_no_header_of_ours(api: Api, desk: Desk, box: Mailbox) -> None:
    long = f"<{'x' * 3000}@example.net>"
    bad = ["<a b@c>", "no brackets", long, "<a@b>\r\nBcc: <evil@example.org>", "<ü@example.net>"]
    assert answer(desk, by_mail(api), answers=long, thread=[*bad, "<good@example.net>"])
    drain(desk)
    (taken,) = box.taken
    assert taken.mail["References"] == "<good@example.net>"
    assert taken.mail["In-Reply-To"] == "<good@example.net>"
    assert taken.mail["Bcc"] is None


@pytest.mark.feature("F143")
def test_who_falls_silent_is_reminded_once(api: Api, desk: Desk, box: Mailbox, clock: TurnedClock) -> None:
    number = by_mail(api)
    path = f"/tickets/{number}/messages"
    clock.turn(days=30)
    assert remind(desk) == 0, "nobody has written to him yet"
    api.call("POST", path, {"body": "Which floor?"}, status=201)
    drain(desk)
    box.taken.clear()
    clock.turn(days=3, seconds=-1)
    assert remind(desk) == 0
    clock.turn(seconds=1)
    assert remind(desk) == 1
    (taken,) = box.taken
    assert taken.mail["X-Deskplane"] == "follow-up"
    assert taken.mail["Subject"] == f"[{number}] Re: Fire & <smoke>"
    assert taken.mail["In-Reply-To"], "it belongs to the conversation"
    clock.turn(days=10)
    api.call("POST", path, {"body": "Hello?"}, status=201)
    clock.turn(days=10)
    assert remind(desk) == 0, "once a ticket"


def test_who_wrote_last_or_whose_ticket_is_done_is_not_reminded(
    api: Api, desk: Desk, box: Mailbox, clock: TurnedClock
) -> None:
    answered, done, elsewhere = by_mail(api), by_mail(api), opened(api, contact=ADA, department=None)["number"]
    for number in (answered, done, elsewhere):
        api.call("POST", f"/tickets/{number}/messages", {"body": "Which floor?"}, status=201)
    api.call("POST", f"/tickets/{answered}/messages", {"body": "The third.", "direction": "inbound"}, status=201)
    changed(api, done, status="resolved")
    clock.turn(days=5)
    assert remind(desk) == 0
    api.call("POST", f"/tickets/{answered}/messages", {"body": "On our way."}, status=201)
    clock.turn(days=5)
    api.apply("departments", name="Desk", follow_up={"enabled": False})
    assert remind(desk) == 0
    api.apply("departments", name="Desk", follow_up={"enabled": True})
    assert remind(desk) == 1


def test_reminders_and_answers_are_remembered_as_long_as_their_tickets(
    api: Api, desk: Desk, box: Mailbox, clock: TurnedClock
) -> None:
    from deskplane.mail import sending

    number = by_mail(api)
    answer(desk, number)
    api.call("POST", f"/tickets/{number}/messages", {"body": "Which floor?"}, status=201)
    clock.turn(days=4)
    remind(desk)
    clock.turn(days=40)
    desk.database.run(lambda session: sending.forget_old(desk.automation(session)), write=True)
    assert sorted(mail["purpose"] for mail in mails(api)) == ["auto-reply", "follow-up"]
    assert remind(desk) == 0


def test_a_run_reminds_all_of_them_and_stops_at_those_without_an_address(
    api: Api, desk: Desk, box: Mailbox, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "AT_ONCE", 2)
    for index in range(11):
        contact = ADA if index % 2 else None
        number = opened(api, contact=contact, department="Desk")["number"]
        api.call("POST", f"/tickets/{number}/messages", {"body": "Which floor?"}, status=201)
    clock.turn(days=4)
    assert remind(desk) == 5
