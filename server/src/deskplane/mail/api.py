"""The endpoints of mails that are sent, and of trying out a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema
from sqlalchemy import ColumnElement, and_, false, func, or_, select

from deskplane.customers.models import Customer
from deskplane.desks.models import Department
from deskplane.desks.schemas import DEPARTMENT
from deskplane.kernel import pagination
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.etag import etag, not_modified
from deskplane.kernel.fields import Choice, Email, Flag, Moment, Text, Whole
from deskplane.kernel.operation import Afterwards, Call, Operation, Reply
from deskplane.kernel.problem import conflict, not_found
from deskplane.kernel.work import Work
from deskplane.mail import sending, trying
from deskplane.mail.composing import M
from deskplane.mail.models import PURPOSES, STATES
from deskplane.mail.smtp import STEPS
from deskplane.tickets import queries

BASE = "/api/v1/mails"
READING = ("tickets:read_internal", "settings:manage")
MOST_RETRIED = 1000
_ORDER = pagination.Order(((M.created_at, True), (M.id, True)), lambda row: (row["created_at"], row["id"]))


class RetryFilters(Schema):
    """Which mails."""

    purpose = Choice("Only those for this purpose.", PURPOSES)
    ticket = Text("Only those about the ticket with this number.", longest=30)
    recipient = Email("Only those to this address.")


class MailList(RetryFilters):
    """Which mails of which state."""

    state = Choice("Only those in this state.", STATES)
    limit = Whole("How many entries a page has.", least=1, most=pagination.MAX_LIMIT, default=pagination.DEFAULT_LIMIT)
    cursor = Text("The next_cursor of the page before.", longest=2000)


class MailEntry(Schema):
    """A mail."""

    id = Text("Id of the mail.", read_only=True)
    message_id = Text("Its Message-ID: the same, however often it was tried.", read_only=True)
    state = Choice(
        "V(queued) ones wait to be sent, or to be tried again; V(held) ones for the customer's next month "
        "(C(quotas.max_emails_month)); V(failed) ones are not tried any more.",
        STATES,
        read_only=True,
    )
    purpose = Choice("What it is for.", PURPOSES, read_only=True)
    event = Text("The event that it tells of.", read_only=True)
    ticket = Text("Number of the ticket that it is about.", read_only=True)
    customer = Text("Name of the ticket's customer.", read_only=True)
    department = Text("Name of the department that sends it; null for the desk itself.", read_only=True)
    recipient = Text("Address that it goes to.", read_only=True)
    subject = Text("Its subject.", read_only=True)
    attempts = Whole("How often it was tried.", read_only=True)
    last_error = Text("Why the last time failed.", read_only=True)
    created_at = Moment("When it was made.", read_only=True)
    sent_at = Moment("When a server took it.", read_only=True)


class MailAnswer(MailEntry):
    """A mail with what it says."""

    body_text = Text("What it says, as text.", read_only=True)
    body_html = Text("What it says, as sanitised HTML.", read_only=True)


class TestMail(Schema):
    """To whom a mail is sent to try a server out."""

    __test__ = False  # for pytest, which would take it for one

    to = Email("Address that it goes to.", required=True)

    always = ("to",)


class TestResult(Schema):
    """What came of it."""

    __test__ = False

    sent = Flag("Whether the server took the mail.", read_only=True)
    server = Text("Host and port that were tried.", read_only=True)
    failed_at = Choice("At which step it failed.", STEPS, read_only=True)
    detail = Text("What the server said, or what went wrong.", read_only=True)


def _visible(work: Work) -> ColumnElement[bool]:
    """Mails about tickets are seen by those of the house who see the ticket; others by who manages the settings."""
    conditions: list[ColumnElement[bool]] = [false()]
    if work.actor.may("tickets:read_internal"):
        seen = queries.visible(work.actor)
        conditions.append(M.ticket_id.is_not(None) if seen is None else and_(M.ticket_id.is_not(None), seen))
    if work.actor.may("settings:manage"):
        conditions.append(M.ticket_id.is_(None))
    return or_(*conditions)


_COLUMNS = [getattr(M, name) for name in MailEntry().fields if name in M]


def _statement(work: Work, *more: Any) -> Any:
    columns = [*_COLUMNS, *more, M.department_id, queries.T.prefix, queries.T.sequence]
    names = [Customer.name.label("customer"), Department.name.label("department")]
    return (
        select(*columns, *names)
        .select_from(M.id.table)
        .outerjoin(queries.TICKETS, queries.T.id == M.ticket_id)
        .outerjoin(Customer, Customer.id == M.customer_id)
        .outerjoin(Department, Department.id == M.department_id)
        .where(_visible(work))
    )


def _filtered(statement: Any, query: Any) -> Any:
    for name in ("state", "purpose"):
        if query[name] is not None:
            statement = statement.where(M[name] == query[name])
    if query["recipient"] is not None:
        statement = statement.where(func.lower(M.recipient) == query["recipient"].lower())
    if query["ticket"] is not None:
        number = queries.parse_number(query["ticket"])
        prefix, sequence = number or ("", 0)
        statement = statement.where(queries.T.prefix == prefix, queries.T.sequence == sequence)
    return statement


def _shown(row: Any) -> dict[str, Any]:
    found = {name: value for name, value in row.items() if name not in ("prefix", "sequence", "department_id")}
    found["ticket"] = queries.number_text(row["prefix"], row["sequence"]) if row["prefix"] is not None else None
    return found


def listing(call: Call) -> Reply:
    """GET /mails, the newest first"""
    query, vault, limit = call.query, call.vault, call.query["limit"]
    statement = _filtered(_statement(call), query)
    page = pagination.page(statement, _ORDER, scope="mails", cursor=query["cursor"], limit=limit, vault=vault)
    rows = call.session.execute(page).mappings().all()
    rows, following = pagination.cut(rows, _ORDER, scope="mails", limit=limit, vault=vault)
    return Reply({"items": [_shown(row) for row in rows], "next_cursor": following})


def _one(call: Call) -> Any:
    statement = _statement(call, M.body_text, M.body_html).where(M.id == call.path["id"])
    row = call.session.execute(statement).mappings().first()
    if row is None:
        raise not_found()
    return row


def get(call: Call) -> Reply:
    """GET /mails/{id}"""
    found = _shown(_one(call))
    tag = etag(found["attempts"], found)
    if not_modified(call.if_none_match, tag):
        return Reply(None, 304, {"ETag": tag})
    return Reply(found, 200, {"ETag": tag})


def _require_writer(call: Call) -> None:
    """Raises 403. To send something again is to write it again."""
    if not call.actor.may("settings:manage"):
        call.actor.need("tickets:comment")


def retry(call: Call) -> Reply:
    """POST /mails/{id}/retry"""
    _require_writer(call)
    row = _one(call)
    if row["state"] != "failed":
        raise conflict("not_failed", f"the mail is {row['state']}; only one that failed is sent again")
    sending.retry(call, row["id"], row["department_id"])
    return Reply(_shown(_one(call)))


def retry_all(call: Call) -> Reply:
    """POST /mails/retry"""
    _require_writer(call)
    statement = _filtered(_statement(call), {"state": "failed", **call.query})
    rows = call.session.execute(statement.order_by(M.created_at, M.id).limit(MOST_RETRIED)).mappings().all()
    for row in rows:
        sending.retry(call, row["id"], row["department_id"])
    return Reply({"retried": len(rows)})


def try_department(call: Call) -> Reply:
    """POST /departments/{id}/smtp/test"""
    condition = DEPARTMENT.visible(call.actor) if DEPARTMENT.visible else None
    statement = select(Department.id).where(Department.id == call.path["id"])
    found = call.session.execute(statement if condition is None else statement.where(condition)).scalar()
    if found is None:
        raise not_found()
    return Reply(Afterwards(trying.prepared(call, found, call.body["to"])))


def try_settings(call: Call) -> Reply:
    """POST /settings/smtp/test"""
    return Reply(Afterwards(trying.prepared(call, None, call.body["to"])))


def operations() -> Iterable[Operation]:
    """Every operation on mails."""
    entry = object_schema(described(MailEntry()), answer=True)
    whole = object_schema(described(MailAnswer()), answer=True)
    result = object_schema(described(TestResult()), answer=True)
    page = pagination.page_schema(entry)
    yield Operation(
        "list_mails",
        "GET",
        BASE,
        listing,
        "List mails that are sent, the newest first",
        "mails",
        permission=READING,
        query=MailList,
        answers={200: ("A page.", page)},
        description="Those about tickets that the caller sees, with `tickets:read_internal`; those about none, such as "
        "alerts, with `settings:manage`.",
    )
    yield Operation(
        "get_mail",
        "GET",
        f"{BASE}/{{id}}",
        get,
        "Read a mail",
        "mails",
        permission=READING,
        etag=True,
        answers={200: ("The mail.", whole), 304: ("It is as it was.", None)},
    )
    yield Operation(
        "retry_mail",
        "POST",
        f"{BASE}/{{id}}/retry",
        retry,
        "Send a mail that failed again",
        "mails",
        permission=READING,
        write=True,
        answers={200: ("The mail, which is queued again.", whole)},
        refusals={409: "The mail did not fail."},
        description="Needs `tickets:comment` or `settings:manage`, besides what seeing it needs.",
    )
    yield Operation(
        "retry_mails",
        "POST",
        f"{BASE}/retry",
        retry_all,
        "Send all mails that failed again",
        "mails",
        permission=READING,
        query=RetryFilters,
        write=True,
        answers={
            200: (
                "How many there were.",
                {"type": "object", "required": ["retried"], "properties": {"retried": {"type": "integer"}}},
            )
        },
        description=f"Those that the caller sees, at most {MOST_RETRIED} at once, the oldest first. Needs "
        "`tickets:comment` or `settings:manage`.",
    )
    for name, path, view, summary, right in (
        ("test_department_smtp", "departments/{id}", try_department, "Try a department's SMTP server out", DEPARTMENT),
        ("test_settings_smtp", "settings", try_settings, "Try the desk's SMTP server out", None),
    ):
        yield Operation(
            name,
            "POST",
            f"/api/v1/{path}/smtp/test",
            view,
            summary,
            "mails",
            permission=(right.permission if right else "settings:manage",),
            body=TestMail,
            answers={200: ("What came of it; a server that cannot be used is no error of the request.", result)},
            description="Sends a mail to the address, at once, and says what came of it.",
        )
