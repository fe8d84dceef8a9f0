"""What becomes of a mail that was stored: a ticket, a message on one, a note, or a place in the quarantine.

A mail is taken apart before the transaction in which it is handled, so that nobody waits for that. Whatever goes wrong
with a mail, it is kept, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from email.message import Message
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import Session

from deskplane.customers.models import Contact
from deskplane.desks.models import Department
from deskplane.kernel.actor import Actor
from deskplane.kernel.db import Database
from deskplane.kernel.logging import logger
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.problem import Problem
from deskplane.kernel.work import Work
from deskplane.mail import bodies, customers, headers, incoming, loops, threading_rules
from deskplane.mail.parsing import Parsed, Unreadable, parse
from deskplane.outbox.service import Claimed
from deskplane.tickets import links, messages, references, service
from deskplane.tickets.draft import Draft
from deskplane.tickets.schemas import TITLE_LENGTH

CAUSE = "mail"
"""What history says of where a change came from."""
LONGEST_AUTHOR = 120
_LOCK = 0x6465736B6D61696C

WorkOf = Callable[[Session], Work]
AutoReply = Callable[[Work, Draft, Parsed], object]
"""Answers a mail that opened a ticket, in the same transaction, where the department wants that."""


class Handled(Exception):
    """A mail that becomes nothing, and why. `more` are further columns."""

    def __init__(self, state: str, reason: str, **more: Any) -> None:
        super().__init__(reason)
        self.state = state
        self.more = more


@dataclass
class Taken:
    """A mail that was taken apart. `whole` is what it shows, `new` what is new in it where it answers something."""

    parsed: Parsed
    whole: str
    new: str


@dataclass
class Intake:
    """Handles mails that were stored."""

    database: Database
    work_of: WorkOf
    auto_reply: AutoReply | None = None

    def __call__(self, message: Claimed) -> None:
        """What the worker does with `incoming.TOPIC`."""
        self.handle(message.payload["mail"])

    def handle(self, mail_id: int) -> None:
        """Handles one mail; one that was handled already is left alone. Raises where the database is out of reach."""
        with self.database.transaction(write=False) as session:
            row = session.execute(select(incoming.MAILS).where(incoming.M.id == mail_id)).mappings().first()
            if row is None or row["state"] != "received":
                return
            raw = incoming.raw(session, mail_id)
        try:
            if not row["whole"]:
                raise Unreadable(
                    f"it has {row['size']} bytes, which is more than is taken; it is still in {row['mailbox']}"
                )
            taken = take_apart(raw)
            self.database.run(
                lambda session: receive(self.work_of(session), mail_id, taken, self.auto_reply), write=True
            )
        except (OperationalError, InterfaceError, InternalError):
            raise
        except Problem as problem:
            if problem.status >= 500 or problem.code == "conflict":
                raise
            self._end(mail_id, "quarantined", problem.detail)
        except Unreadable as error:
            self._end(mail_id, "quarantined", str(error))
        except Handled as outcome:
            self._end(mail_id, outcome.state, str(outcome), **outcome.more)
        except Exception as error:
            logger.error("mail could not be handled; it is in the quarantine", mail=mail_id, exc_info=error)
            self._end(mail_id, "quarantined", f"an unexpected {type(error).__name__}; the worker's log has the details")

    def _end(self, mail_id: int, state: str, reason: str, **more: Any) -> None:
        self.database.run(
            lambda session: incoming.end(self.work_of(session), mail_id, state, reason, **more), write=True
        )


def take_apart(raw: bytes) -> Taken:
    """What a mail says, made ready to be shown. Raises Unreadable."""
    parsed = parse(raw)
    return Taken(parsed, bodies.shown(parsed, answer=False), bodies.shown(parsed, answer=True))


def receive(work: Work, mail_id: int, taken: Taken, auto_reply: AutoReply | None) -> None:
    """Handles a mail in this transaction. Raises Handled and Problem."""
    row = (
        work.session.execute(select(incoming.MAILS).where(incoming.M.id == mail_id).with_for_update())
        .mappings()
        .first()
    )
    if row is None or row["state"] != "received":
        return  # another worker was quicker
    _Receiving(work, dict(row), taken, auto_reply).run()


class _Receiving:
    """One mail, in the transaction in which it is handled."""

    def __init__(self, work: Work, row: dict[str, Any], taken: Taken, auto_reply: AutoReply | None) -> None:
        self.work = work
        self.row = row
        self.taken = taken
        self.parsed = taken.parsed
        self.auto_reply = auto_reply
        self.automatic = loops.is_automatic(self._header, row["return_path"], row["sender"])

    @property
    def _header(self) -> Message:
        return self.parsed.header

    def run(self) -> None:
        """Does everything, or raises Handled."""
        if loops.is_own(self._header) and headers.value_of(self._header, "auto-submitted") not in ("", "no"):
            raise Handled("ignored", "a desk sent it by itself")
        report = self.parsed.report
        if report is not None:
            return self._note_bounce([*report.answered, *self.parsed.answered])
        sender = self.parsed.sender
        if sender is None:
            raise Handled("quarantined", "it says nobody's address that it comes from")
        self._take_turn(sender.address)
        self._require_first()
        ticket = threading_rules.ticket_of(self.work, self.parsed.answered, self.parsed.subject, sender.address)
        if ticket is None and self.automatic and loops.is_bounce(self.row["return_path"], sender.address):
            # a report in a form of the sender's own; what it is about is not known
            raise Handled("quarantined", "it tells that a mail did not arrive, but not which")
        if ticket is None:
            return self._open(sender.address, None)
        if loops.is_bounce(self.row["return_path"], sender.address):
            return self._note_bounce(self.parsed.answered)
        if ticket.status in references.workflow_of(self.work, ticket).final:
            if self.automatic:
                raise Handled("ignored", f"nobody wrote it ({self.automatic}), and its ticket is {ticket.status}")
            return self._open(sender.address, ticket)
        return self._answer(sender.address, ticket)

    def _take_turn(self, address: str) -> None:
        """Mails of one sender are handled one after the other: copies find each other, and answers are counted."""
        if not self.work.is_sqlite:
            key = func.hashtextextended(address, _LOCK)
            self.work.session.execute(select(func.pg_advisory_xact_lock(key)))

    def _require_first(self) -> None:
        """The same mail to two departments is one matter: it is handled where it came in first."""
        same = select(Department.name).join(incoming.MAILS, incoming.M.department_id == Department.id)
        mine = incoming.M.identity == self.row["identity"], incoming.M.body_hash == self.row["body_hash"]
        other = (incoming.M.id != self.row["id"], incoming.M.state == "processed")
        name = self.work.session.execute(same.where(*mine, *other)).scalar()
        if name is not None:
            raise Handled("ignored", f"the same mail came to the department {name}, where it was handled")

    def _as(self, address: str) -> Work:
        actor = Actor(None, address[:LONGEST_AUTHOR], frozenset(PERMISSIONS), cause=CAUSE)
        return replace(self.work, actor=actor)

    def _open(self, address: str, before: Draft | None) -> None:
        """Opens a ticket; `before` is the final one that the mail answers."""
        work = self._as(address)
        department = self.work.session.execute(
            select(Department).where(Department.id == self.row["department_id"])
        ).scalar_one_or_none()
        if department is None:
            raise Handled("quarantined", "its department is there no more")
        known = work.session.execute(select(Contact.id, Contact.customer_id).where(Contact.email == address)).first()
        given = {
            "title": headers.line(self.parsed.subject, TITLE_LENGTH) or "(no subject)",
            "department": department.name,
            "contact": address,
            "source": "email",
        }
        if known is None or known.customer_id is None:
            customer = customers.customer_of(work, department.customer_id, address)
            given |= {"customer": customer} if customer is not None else {}
        draft = service.open_ticket(work, given)
        if known is None:
            self._name_contact(draft)
        message_id = self._write(work, draft, self.taken.whole, told=False)
        if before is not None:
            links.put(work, before, "relates_to", draft)
            links.touch(work, before)
        reason = self._reply_to(draft, address)
        incoming.end(
            self.work, self.row["id"], "processed", reason, ticket_id=draft.columns["id"], ticket_message_id=message_id
        )

    def _name_contact(self, draft: Draft) -> None:
        name = self.parsed.sender.name if self.parsed.sender else ""
        first, _, last = name.rpartition(" ") if " " in name else ("", "", name)
        values = {"first_name": first[:120], "last_name": last[:120]}
        if name and "@" not in name:
            self.work.session.execute(update(Contact).where(Contact.id == draft.columns["contact_id"]).values(**values))

    def _answer(self, address: str, ticket: Draft) -> None:
        """Adds to a ticket; what was done with is open again, unless nobody wrote the mail."""
        work = self._as(address)
        before = ticket.snapshot()
        changed: set[str] = set()
        if ticket.columns["status"] in ("resolved", "closed", "cancelled") and not self.automatic:
            self._reopen(ticket)
            changed = {"status"}
            service.save(work, ticket, before, changed, told=False)
        message_id = self._write(work, ticket, self.taken.new, told=True, changed=changed)
        ended = {"ticket_id": ticket.columns["id"], "ticket_message_id": message_id}
        incoming.end(self.work, self.row["id"], "processed", None, **ended)

    def _reopen(self, ticket: Draft) -> None:
        workflow = references.workflow_of(self.work, ticket)
        goals = ("open", "in_progress", "waiting")
        paths = [(workflow.path(ticket.status, goal, self.work.actor.may), goal) for goal in goals]
        reachable = [(len(path), index) for index, (path, _goal) in enumerate(paths) if path is not None]
        if not reachable:
            raise Handled("quarantined", f"{ticket.number} is {ticket.status}, and its workflow leads back nowhere")
        service.take_steps(self.work, ticket, goals[min(reachable)[1]])

    def _write(self, work: Work, draft: Draft, html: str, *, told: bool, changed: Sequence[str] | set[str] = ()) -> int:
        files, refused = bodies.keep_files(work, draft, self.parsed.files)
        given = {
            "direction": "inbound",
            "body_html": bodies.with_images(html, files) or "<p>(no text)</p>",
            "attachments": [file.id for file in files],
        }
        message_id = messages.write(work, draft, given, changed=changed, told=told)
        if refused:
            messages.write(self.work, draft, {"direction": "internal", "body_html": bodies.note_of(refused)})
        return message_id

    def _reply_to(self, draft: Draft, address: str) -> str | None:
        """Answers by itself, if that is wanted and nothing is against it; else, why not."""
        against = loops.wants_no_answer(self._header, self.row["return_path"], address)
        against = against or loops.is_capped(self.work, address, draft.columns["id"])
        if against is not None:
            return f"not answered automatically: {against}"
        if self.auto_reply is not None:
            self.auto_reply(self.work, draft, self.parsed)
        return None

    def _note_bounce(self, answered: Sequence[str]) -> None:
        """That a mail of ours did not arrive becomes an internal note on its ticket."""
        ticket = threading_rules.signed_ticket(self.work, answered)
        if ticket is None:
            raise Handled("quarantined", "it tells that a mail did not arrive, but of none that this desk sent")
        if ticket.status in references.workflow_of(self.work, ticket).final:
            raise Handled(
                "ignored", f"a mail about {ticket.number} did not arrive, and that is {ticket.status} for good"
            )
        message_id = messages.write(
            self.work, ticket, {"direction": "internal", "body_html": bodies.note_of_bounce(self.parsed)}
        )
        ended = {"ticket_id": ticket.columns["id"], "ticket_message_id": message_id}
        incoming.end(self.work, self.row["id"], "processed", "a mail did not arrive", **ended)
