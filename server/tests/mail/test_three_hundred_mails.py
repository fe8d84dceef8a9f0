"""Three hundred mails of every sort, through connections that break, make exactly the tickets that they should."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import func, select

from conftest import Api
from deskplane.app import Desk
from deskplane.mail import fetching, incoming, loops, tasks
from deskplane.mail.fetching import Fetching
from deskplane.mail.intake import Intake
from deskplane.mail.models import Mail
from deskplane.tickets.models import Attachment, Ticket, TicketMessage
from mail.dovecot import PASSWORD, Dovecot
from mail.incoming_help import department, letter, signed_id
from mail.test_fetching import CuttingProxy
from mail.test_loops import DEPARTMENT, bounce
from mail.test_parsing import nested

HOUSES = ("support", "sales")


@dataclass
class Case:
    """A mail, the mailboxes that it goes to, and what comes of it: counts of tickets, inbound messages, notes, and of
    stored mails that end otherwise; `answered` is who gets an automatic answer."""

    raw: bytes
    to: tuple[str, ...]
    makes: Counter[str] = field(default_factory=Counter)
    answered: str | None = None


class Generator:
    """Makes up mails; the same for the same seed."""

    def __init__(self, count: int) -> None:
        self.random = random.Random(count)
        self.number = 0
        self.senders = count // 20
        self.large_bytes = 20_000_000 if count > 100 else 2_000_000

    def _next(self) -> tuple[str, str, str]:
        self.number += 1
        sender = f"person{self.random.randrange(self.senders)}@acme.example"
        return f"Matter {self.number}", sender, self.random.choice(HOUSES)

    def first(self, count: int) -> Iterator[Case]:
        """Mails that answer nothing."""
        yield self.large()
        sorts = [self.new] * 8 + [self.automatic, self.to_both, self.broken, self.broken, self.injecting, self.bomb]
        sorts += [self.nameless, self.own, self.stray_bounce]
        for _ in range(count - 1):
            yield self.random.choice(sorts)()

    def new(self) -> Case:
        subject, sender, house = self._next()
        html = f"<p>{subject}</p><script>x</script>" if self.random.random() < 0.5 else None
        return Case(letter(subject, sender=sender, html=html), (house,), Counter(ticket=1, inbound=1), sender)

    def large(self) -> Case:
        subject, sender, house = self._next()
        raw = letter(subject, sender=sender, files=[("big.bin", "application/x-big", bytes(self.large_bytes))])
        return Case(raw, (house,), Counter(ticket=1, inbound=1, file=1), sender)

    def automatic(self) -> Case:
        subject, sender, house = self._next()
        raw = letter(subject, sender=sender, headers={"Auto-Submitted": "auto-generated"})
        return Case(raw, (house,), Counter(ticket=1, inbound=1))

    def to_both(self) -> Case:
        subject, sender, _house = self._next()
        return Case(letter(subject, sender=sender), HOUSES, Counter(ticket=1, inbound=1, ignored=1), sender)

    def broken(self) -> Case:
        subject, sender, house = self._next()
        head = f"From: {sender}\r\nSubject: {subject}\r\nMessage-ID: <broken{self.number}@x>\r\n".encode()
        bodies = [
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain\r\n\r\nnever ended",
            b"Content-Type: multipart/mixed\r\n\r\nno boundary",
            b"Content-Type: text/plain; charset=nonsense\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!=",
            b"Content-Type: ;;;\r\n\r\n\xff\xfe\x00",
            b"Content-Type: text/html\r\n\r\n<p><<<table>\xff&#0;&#xD800;",
            b"no header\r\n\r\nat all",
        ]
        return Case(head + self.random.choice(bodies), (house,), Counter(ticket=1, inbound=1), sender)

    def injecting(self) -> Case:
        subject, sender, house = self._next()
        text = f"=?utf-8?q?{subject.replace(' ', '_')}=0D=0ABcc:_eve@evil.example?="
        raw = letter("replaced", sender=sender).replace(b"Subject: replaced", f"Subject: {text}".encode())
        return Case(raw, (house,), Counter(ticket=1, inbound=1), sender)

    def bomb(self) -> Case:
        _subject, _sender, house = self._next()
        raw = f"Message-ID: <bomb{self.number}@x>\r\n".encode() + nested(self.random.choice([30, 250, 2000]))
        return Case(raw, (house,), Counter(quarantined=1))

    def nameless(self) -> Case:
        subject, _sender, house = self._next()
        return Case(letter(subject, sender="nobody at all"), (house,), Counter(quarantined=1))

    def own(self) -> Case:
        subject, sender, house = self._next()
        headers = {"X-Deskplane": "notification", "Auto-Submitted": "auto-generated"}
        return Case(letter(subject, sender=sender, headers=headers), (house,), Counter(ignored=1))

    def stray_bounce(self) -> Case:
        self.number += 1
        return Case(bounce(f"<stray{self.number}@elsewhere.example>"), (self._next()[2],), Counter(quarantined=1))

    def second(self, count: int, desk: Desk, tickets: list[tuple[str, str]], before: list[Case]) -> Iterator[Case]:
        """Mails that answer these tickets, each with its contact, or claim to; and mails that are delivered again."""
        for _ in range(count):
            subject, stranger, house = self._next()
            number, contact = self.random.choice(tickets)
            signed = {"References": f"<else@x> {signed_id(desk, number)}"}
            sort = self.random.randrange(8)
            if sort == 0:
                again = self.random.choice(before)
                yield Case(b"Received: once more\r\n" + again.raw, again.to[:1])
            elif sort == 1:
                yield Case(letter(f"Re: [{number}] x", sender=contact), (house,), Counter(inbound=1))
            elif sort == 2:  # somebody else, who knows the number
                eve = f"eve{self.number}@evil.example"
                raw = letter(f"Re: [{number}] {subject}", sender=eve)
                yield Case(raw, (house,), Counter(ticket=1, inbound=1), eve)
            elif sort == 3:  # or makes up a Message-ID
                eve = f"eve{self.number}@evil.example"
                forged = signed["References"].replace(".reply.", ".alert.")
                raw = letter(subject, sender=eve, headers={"References": forged})
                yield Case(raw, (house,), Counter(ticket=1, inbound=1), eve)
            elif sort == 4:
                headers = signed | {"Auto-Submitted": "auto-replied", "Return-Path": "<>"}
                yield Case(letter("Out of office", sender=contact, headers=headers), (house,), Counter(inbound=1))
            elif sort == 5:
                yield Case(bounce(signed_id(desk, number)), (house,), Counter(internal=1))
            elif sort == 6:
                both = letter("Re", sender=stranger, headers=signed)
                yield Case(both, HOUSES, Counter(inbound=1, ignored=1))
            else:
                yield Case(letter("Re", sender=contact, headers=signed), (house,), Counter(inbound=1))


@pytest.mark.parametrize("count", [40, pytest.param(300, marks=pytest.mark.soak)])
def test_every_mail_makes_exactly_what_it_should(desk: Desk, api: Api, dovecot: Dovecot, count: int) -> None:
    made = Generator(count)
    users = {house: f"{house}{count}-{desk.database.url.get_backend_name()}@example.org" for house in HOUSES}
    for user in users.values():
        dovecot.make(user)
    with CuttingProxy(("127.0.0.1", dovecot.port)) as proxy:
        ids = []
        for house, user in users.items():
            imap = {"server": "localhost", "port": proxy.port, "tls": "none", "username": user, "password": PASSWORD}
            ids.append(department(api, house, imap=imap, **DEPARTMENT))
        desk.database.run(lambda session: fetching.queue(desk.automation(session)), write=True)
        first = list(made.first(count // 2))
        deliver(dovecot, users, first)
        handle_all(desk, ids)
        with desk.database.transaction(write=False) as session:
            rows = session.execute(select(Ticket.prefix, Ticket.sequence)).all()
        found = api.call("GET", "/tickets?limit=200")["items"]
        assert len(found) == len(rows) == sum(case.makes["ticket"] for case in first)
        tickets = [(ticket["number"], ticket["contact"]) for ticket in sorted(found, key=lambda one: one["number"])]
        second = list(made.second(count - count // 2, desk, tickets, [case for case in first if len(case.raw) < 10**6]))
        deliver(dovecot, users, second)
        handle_all(desk, ids)
        assert proxy.mails > count * 0.9
    check(desk, dovecot, users, first + second)


def deliver(dovecot: Dovecot, users: dict[str, str], cases: list[Case]) -> None:
    for case in cases:
        for house in case.to:
            dovecot.deliver(users[house], case.raw)


def handle_all(desk: Desk, departments: list[str]) -> None:
    """Reads and handles, however often it takes."""
    intake = Intake(desk.database, desk.automation, tasks.answer)
    for _ in range(100):
        for department_id in departments:
            Fetching(desk.database, desk.automation).fetch(department_id)
        with desk.database.transaction(write=False) as session:
            waiting = session.execute(select(incoming.M.id).where(incoming.M.state == "received")).scalars().all()
            failing = session.execute(
                select(fetching.Mailbox.last_error, func.count())
                .where(fetching.Mailbox.failures > 0)
                .group_by("last_error")
            ).all()
        for mail_id in sorted(waiting):
            intake.handle(mail_id)
        if not waiting and not failing:
            return
    raise AssertionError(f"it never comes to an end: {failing}")


def check(desk: Desk, dovecot: Dovecot, users: dict[str, str], cases: list[Case]) -> None:
    expected = sum((case.makes for case in cases), Counter())
    with desk.database.transaction(write=False) as session:

        def counts(column: Any) -> Counter[str]:
            return Counter(dict(session.execute(select(column, func.count()).group_by(column)).all()))

        directions, states = counts(TicketMessage.direction), counts(incoming.M.state)
        found = Counter(
            ticket=session.execute(select(func.count()).select_from(Ticket)).scalar_one(),
            inbound=directions["inbound"],
            internal=directions["internal"],
            ignored=states["ignored"],
            quarantined=states["quarantined"],
            file=session.execute(select(func.count()).where(Attachment.name == "big.bin")).scalar_one(),
        )
        assert +found == +expected
        stored = session.execute(select(incoming.M.id)).scalars().all()
        kept = Counter(incoming.raw(session, mail_id) for mail_id in stored)
        answers = select(Mail.recipient).where(Mail.purpose == "auto-reply")
        answered = Counter(session.execute(answers).scalars())
        titles = session.execute(select(Ticket.title)).scalars().all()
    once = [case for case in cases if not case.raw.startswith(b"Received: once more")]
    sent = Counter(normal(case.raw) for case in once for _house in case.to)
    assert kept == sent, "each original is kept, as it was, once for each mailbox"
    wanted = Counter(case.answered for case in cases if case.answered)
    most = loops.CAPS[0][1]
    assert answered == {who: min(number, most) for who, number in wanted.items()}
    assert max(wanted.values()) > most, "the cap was needed"
    assert not any(set(title) & set("\r\n\x00") for title in titles)
    for user in users.values():
        assert set(dovecot.flags(user)) == {"S"}


def normal(raw: bytes) -> bytes:
    """The mail as Dovecot sends it: IMAP knows no NUL."""
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").replace(b"\x00", b"\x80")
