"""The endpoints of mails that came in: the quarantine, the originals of messages, and trying a mailbox out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from marshmallow import Schema
from sqlalchemy import ColumnElement, and_, delete, or_, select, update

from deskplane.desks.models import Department
from deskplane.desks.schemas import DEPARTMENT
from deskplane.kernel import pagination
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.fields import Choice, Flag, Moment, Text, Whole
from deskplane.kernel.operation import Afterwards, Call, Operation, Reply, Stream
from deskplane.kernel.problem import conflict, not_found
from deskplane.kernel.work import Work
from deskplane.mail import incoming
from deskplane.mail.fetching import login_of
from deskplane.mail.incoming import MAILS, M
from deskplane.mail.incoming_models import STATES
from deskplane.mail.reading import STEPS, Failure, Login, reading
from deskplane.tickets import attachment_names, messages, queries
from deskplane.tickets.attachments_api import SHUT
from deskplane.tickets.belongings import ticket_row
from deskplane.tickets.models import TicketMessage

BASE = "/api/v1/received-mails"
READING = ("tickets:read_internal",)
MAIL_TYPE = "message/rfc822"
LONGEST_TRIAL = 30.0
"""Seconds that trying a mailbox out may take."""
_ORDER = pagination.Order(((M.id, True),), lambda row: (row["id"],))
_ID = re.compile("[0-9]{1,18}")
_MOST_IDS = 2**53


class ReceivedList(Schema):
    """Which mails."""

    state = Choice("Only those in this state.", STATES)
    department = Text("Only those of the mailbox of the department with this name.", longest=120)
    sender = Text("Only those from this address.", longest=254)
    limit = Whole("How many entries a page has.", least=1, most=pagination.MAX_LIMIT, default=pagination.DEFAULT_LIMIT)
    cursor = Text("The next_cursor of the page before.", longest=2000)


class ReceivedEntry(Schema):
    """A mail that came in."""

    id = Whole("Id of the mail.", most=_MOST_IDS, read_only=True)
    state = Choice(
        "V(received) ones wait to be handled, V(processed) ones are on a ticket; V(quarantined) ones could not be "
        "handled, and V(ignored) ones need not be: C(reason) says why.",
        STATES,
        read_only=True,
    )
    reason = Text("Why it is in its state; of one that was processed, why it was not answered.", read_only=True)
    department = Text("Name of the department in whose mailbox it came in.", read_only=True)
    mailbox = Text("That mailbox.", read_only=True)
    sender = Text("Address that it says that it comes from.", read_only=True)
    subject = Text("Its subject.", read_only=True)
    message_id = Text("Its Message-ID.", read_only=True)
    size = Whole("Its size in bytes.", most=_MOST_IDS, read_only=True)
    whole = Flag("Whether all of it is stored; of one that is too large it is the beginning only.", read_only=True)
    deliveries = Whole("How often it was delivered.", read_only=True)
    ticket = Text("Number of its ticket.", read_only=True)
    message = Whole("Id of the message that it became.", most=_MOST_IDS, read_only=True)
    received_at = Moment("When it was stored.", read_only=True)
    handled_at = Moment("When it was handled.", read_only=True)


class MailboxTrial(Schema):
    """What came of trying a mailbox out."""

    works = Flag("Whether it can be read.", read_only=True)
    failed_at = Choice("At which step it failed.", STEPS, read_only=True)
    detail = Text("What went wrong, or what there is.", read_only=True)
    messages = Whole("How many mails the folder holds.", most=2**32, read_only=True)
    unseen = Whole("How many of them nobody has seen.", most=2**32, read_only=True)


def _visible(work: Work) -> ColumnElement[bool]:
    """A mail on a ticket is seen by who sees the ticket; another one by its department, as tickets of no customer."""
    actor = work.actor
    everything = actor.may("tickets:view_all") and actor.may("tickets:view_all_departments")
    ticket = queries.visible(actor)
    on_none: ColumnElement[bool] = M.ticket_id.is_(None)
    if not everything:
        on_none = and_(on_none, M.department_id.in_(sorted(actor.departments)))
    on_one = M.ticket_id.is_not(None)
    return or_(on_none, on_one if ticket is None else and_(on_one, ticket))


def _statement(work: Work) -> Any:
    columns = [M[name] for name in ReceivedEntry().fields if name in M]
    names = [M.ticket_message_id.label("message"), Department.name.label("department")]
    return (
        select(*columns, *names, M.department_id, queries.T.prefix, queries.T.sequence)
        .select_from(MAILS)
        .outerjoin(queries.TICKETS, queries.T.id == M.ticket_id)
        .outerjoin(Department, Department.id == M.department_id)
        .where(_visible(work))
    )


def _shown(row: Any) -> dict[str, Any]:
    found = {name: value for name, value in row.items() if name not in ("prefix", "sequence", "department_id")}
    found["ticket"] = queries.number_text(row["prefix"], row["sequence"]) if row["prefix"] is not None else None
    return found


def listing(call: Call) -> Reply:
    """GET /received-mails, the newest first"""
    query, vault, limit = call.query, call.vault, call.query["limit"]
    statement = _statement(call)
    if query["state"] is not None:
        statement = statement.where(M.state == query["state"])
    if query["department"] is not None:
        statement = statement.where(Department.name == query["department"])
    if query["sender"] is not None:
        statement = statement.where(M.sender == query["sender"].lower())
    page = pagination.page(statement, _ORDER, scope="received", cursor=query["cursor"], limit=limit, vault=vault)
    rows = call.session.execute(page).mappings().all()
    rows, following = pagination.cut(rows, _ORDER, scope="received", limit=limit, vault=vault)
    return Reply({"items": [_shown(row) for row in rows], "next_cursor": following})


def _one(call: Call) -> Any:
    """The mail that the path names, if the caller may see it. Raises 404."""
    if not _ID.fullmatch(call.path["id"]):
        raise not_found()
    statement = _statement(call).where(M.id == int(call.path["id"]))
    row = call.session.execute(statement).mappings().first()
    if row is None:
        raise not_found()
    return row


def get(call: Call) -> Reply:
    """GET /received-mails/{id}"""
    return Reply(_shown(_one(call)))


def _as_file(mail_id: int) -> Reply:
    headers = {**SHUT, "Content-Disposition": attachment_names.disposition(f"mail-{mail_id}.eml")}
    return Reply(Stream(incoming.reader(mail_id)), 200, headers, MAIL_TYPE)


def raw(call: Call) -> Reply:
    """GET /received-mails/{id}/raw"""
    return _as_file(_one(call)["id"])


def original(call: Call) -> Reply:
    """GET /tickets/{number}/messages/{id}/original"""
    ticket_id = ticket_row(call).t_id
    if not _ID.fullmatch(call.path["id"]):
        raise not_found()
    statement = (
        select(M.id)
        .join(TicketMessage, TicketMessage.id == M.ticket_message_id)
        .where(
            TicketMessage.id == int(call.path["id"]),
            TicketMessage.ticket_id == ticket_id,
            *messages.readable(call.actor),
        )
    )
    found = call.session.execute(statement.order_by(M.id).limit(1)).scalar()
    if found is None:
        raise not_found()
    return _as_file(found)


def _require_set_aside(row: Any) -> None:
    if row["state"] not in ("quarantined", "ignored"):
        raise conflict("not_set_aside", f"the mail is {row['state']}; only what is quarantined or ignored is at hand")


def replay(call: Call) -> Reply:
    """POST /received-mails/{id}/replay"""
    row = _one(call)
    call.actor.need("tickets:edit")
    _require_set_aside(row)
    if not row["whole"]:
        raise conflict("not_whole", f"only the beginning of the mail is stored; all of it is in {row['mailbox']}")
    values = {"state": "received", "reason": None, "handled_at": None}
    call.session.execute(update(MAILS).where(M.id == row["id"]).values(**values))
    incoming.queue(call, row["id"], row["department_id"])
    return Reply(_shown(_one(call)))


def remove(call: Call) -> Reply:
    """DELETE /received-mails/{id}"""
    row = _one(call)
    call.actor.need("tickets:delete")
    _require_set_aside(row)
    call.session.execute(delete(MAILS).where(M.id == row["id"]))
    return Reply(None, 204)


def _trial(login: Login | None) -> Callable[[], dict[str, Any]]:
    """What tries a mailbox out, once nobody waits for the database."""

    def failed(step: str, detail: str) -> dict[str, Any]:
        return {"works": False, "failed_at": step, "detail": detail, "messages": None, "unseen": None}

    def run() -> dict[str, Any]:
        if login is None:
            return failed("setup", "the department's imap needs a server, a username and a password")
        try:
            with reading(login, longest=LONGEST_TRIAL) as box:
                unseen, found = len(box.unseen()), box.folder.messages
        except Failure as failure:
            return failed(failure.step, failure.detail)
        detail = f"{login.folder} holds {found} mails, of which {unseen} are unseen"
        return {"works": True, "failed_at": None, "detail": detail, "messages": found, "unseen": unseen}

    return run


def try_mailbox(call: Call) -> Reply:
    """POST /departments/{id}/imap/test"""
    condition = DEPARTMENT.visible(call.actor) if DEPARTMENT.visible else None
    statement = select(Department.imap).where(Department.id == call.path["id"])
    found = call.session.execute(statement if condition is None else statement.where(condition)).scalar()
    if found is None:
        raise not_found()
    return Reply(Afterwards(_trial(login_of(call, found))))


def operations() -> Iterable[Operation]:
    """Every operation on mails that came in."""
    entry = object_schema(described(ReceivedEntry()), answer=True)
    file = {"type": "string", "format": "binary", "x-content-type": MAIL_TYPE}
    one = f"{BASE}/{{id}}"
    yield Operation(
        "list_received_mails",
        "GET",
        BASE,
        listing,
        "List mails that came in, the newest first",
        "mails",
        permission=READING,
        query=ReceivedList,
        answers={200: ("A page.", pagination.page_schema(entry))},
        description="Those on tickets that the caller sees; those on none, such as the quarantine's "
        "(`state=quarantined`), of his departments, or all with `tickets:view_all` and "
        "`tickets:view_all_departments`.",
    )
    yield Operation(
        "get_received_mail",
        "GET",
        one,
        get,
        "Read what became of a mail",
        "mails",
        permission=READING,
        answers={200: ("The mail.", entry)},
    )
    yield Operation(
        "download_received_mail",
        "GET",
        f"{one}/raw",
        raw,
        "Download a mail as it came in",
        "mails",
        permission=READING,
        answers={200: ("The mail.", file)},
    )
    yield Operation(
        "download_original_of_message",
        "GET",
        "/api/v1/tickets/{number}/messages/{id}/original",
        original,
        "Download the mail that a message was",
        "tickets",
        permission=READING,
        answers={200: ("The mail.", file)},
    )
    yield Operation(
        "replay_received_mail",
        "POST",
        f"{one}/replay",
        replay,
        "Handle a mail again that was quarantined or ignored",
        "mails",
        permission=READING,
        write=True,
        answers={200: ("The mail, which waits to be handled.", entry)},
        refusals={409: "The mail is neither quarantined nor ignored, or is not stored whole."},
        description="Needs `tickets:edit`, besides what seeing it needs.",
    )
    yield Operation(
        "delete_received_mail",
        "DELETE",
        one,
        remove,
        "Delete a mail for good that was quarantined or ignored",
        "mails",
        permission=READING,
        write=True,
        answers={204: ("It is gone.", None)},
        refusals={409: "The mail is neither quarantined nor ignored."},
        description="Needs `tickets:delete`, besides what seeing it needs. In its mailbox the mail stays.",
    )
    yield Operation(
        "test_department_imap",
        "POST",
        "/api/v1/departments/{id}/imap/test",
        try_mailbox,
        "Try a department's mailbox out",
        "mails",
        permission=("departments:manage",),
        answers={200: ("What came of it.", object_schema(described(MailboxTrial()), answer=True))},
        description="Logs in and opens the folder with the settings that are stored; no mail is read.",
    )
