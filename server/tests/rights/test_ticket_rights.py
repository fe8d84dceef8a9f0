"""Who may do what with which ticket: every operation on one, every role, own and foreign customer and department.

The expectation is the table of docs/rights.md, which is the documentation, too. A mark for each sort of ticket, in the
order of SORTS: `+` the operation is let through, `-` it answers 404 as for a ticket that there is not, `.` it answers
403. A new operation, or a changed right, has to be written there; a failing test prints the table as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from conftest import START, Api
from deskplane.app import make_operations, make_registry
from deskplane.kernel.operation import Operation
from deskplane.mail.incoming_models import ReceivedMail, ReceivedMailChunk
from deskplane.people.models import User
from deskplane.tickets.models import Ticket

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "rights.md"
ROLES = ("admin", "agent", "user", "viewer", "requester")
SORTS: dict[str, dict[str, str]] = {
    "own customer, own department": {"customer": "own", "department": "own"},
    "own customer, foreign department": {"customer": "own", "department": "foreign"},
    "foreign customer, own department": {"customer": "foreign", "department": "own"},
    "foreign customer, foreign department": {"customer": "foreign", "department": "foreign"},
    "no customer, own department": {"department": "own"},
    "no customer, foreign department": {"department": "foreign"},
    "foreign both, but assigned to the caller": {"customer": "foreign", "department": "foreign"},
}
OPERATIONS = [
    operation for operation in make_operations(make_registry()) if operation.path.startswith("/api/v1/tickets/{number}")
]


def written() -> dict[str, dict[str, str]]:
    """The table of the document: operation → role → marks."""
    block = re.search(r"```text\n(operation.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None, "docs/rights.md has the table"
    head, *lines = block[1].strip().splitlines()
    roles = head.split()[1:]
    rows: dict[str, dict[str, str]] = {}
    for line in lines:
        title, marks = re.split(r"\s{2,}", line.strip(), maxsplit=1)
        rows[title] = dict(zip(roles, marks.split(), strict=True))
    return rows


def as_text(found: dict[str, dict[str, str]]) -> str:
    """A table as the document has it."""
    lines = [f"{'operation':<34}" + " ".join(f"{role:<9}" for role in ROLES)]
    lines += [f"{name:<34}" + " ".join(f"{marks[role]:<9}" for role in ROLES) for name, marks in found.items()]
    return "\n".join(line.rstrip() for line in lines)


def mark(status: int) -> str:
    if status == 403:
        return "."
    if status == 404:
        return "-"
    assert status in {200, 201, 204, 400, 412, 415, 422}, status
    return "+"


REFERENCE = {"type": "url", "title": "x", "url": "https://x.example"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "update_ticket, title": ("update_ticket", {"title": "changed"}),
    "update_ticket, assignee": ("update_ticket", {"assignee": "root"}),
    "update_ticket, resolved": ("update_ticket", {"status": "resolved"}),
    "update_ticket, comment": ("update_ticket", {"comment": "hm"}),
    "add_ticket_reference": ("add_ticket_reference", REFERENCE),
    "merge_ticket": ("merge_ticket", {"into": "TKT-999999"}),
    "split_ticket": ("split_ticket", {"title": "x", "messages": [1]}),
    "create_ticket_message, inbound": ("create_ticket_message", {"body": "hm", "direction": "inbound"}),
    "create_ticket_message, outbound": ("create_ticket_message", {"body": "hm", "direction": "outbound"}),
    "create_ticket_message, internal": ("create_ticket_message", {"body": "hm", "direction": "internal"}),
}
"""Requests whose right depends on what they say: name in the table → operation and body."""


def cases() -> Iterator[tuple[str, Operation, dict[str, Any] | None]]:
    """Every row of the table; what deletes comes last."""
    by_name = {operation.name: operation for operation in OPERATIONS}
    several = {name for name, _body in CASES.values()}
    for operation in sorted(OPERATIONS, key=lambda found: found.method == "DELETE"):
        if operation.name not in several:
            assert operation.body is None, f"CASES needs a valid body for {operation.name}"
            yield operation.name, operation, None
        for title, (name, body) in CASES.items():
            if name == operation.name:
                yield title, by_name[name], body


THINGS: dict[str, dict[str, str]] = {}
"""Ids of what a ticket has that is public, by its number and the part of the address."""


def came_by_mail(message_id: int, session: Session) -> None:
    """Gives a message an original."""
    texts = {name: f"{name} {message_id}" for name in ("mailbox", "identity", "body_hash", "message_id", "subject")}
    numbers = {"uid_validity": 1, "uid": message_id, "size": 1, "deliveries": 1}
    mail = ReceivedMail(
        **texts, **numbers, whole=True, state="processed", ticket_message_id=message_id, received_at=START
    )
    session.add(mail)
    session.flush()
    session.add(ReceivedMailChunk(mail_id=mail.id, position=0, data=b"x"))


def prepared(api: Api, role: str) -> list[str]:
    """A ticket of each sort for the user of a role."""
    numbers = [
        api.call("POST", "/tickets", {"title": sort, **fields}, status=201)["number"] for sort, fields in SORTS.items()
    ]

    def assign(session: Session) -> None:
        # past the API, which gives a ticket to nobody who may not see it; later he may lose the right to
        user_id = session.execute(select(User.id).where(User.username == f"is-{role}")).scalar_one()
        last = int(numbers[-1].split("-")[1])
        session.execute(update(Ticket).where(Ticket.sequence == last).values(assignee_id=user_id))

    api.desk.database.run(assign, write=True)
    for number in numbers:
        message = api.call("POST", f"/tickets/{number}/messages", {"body": "hello"}, status=201)
        api.desk.database.run(partial(came_by_mail, int(message["id"])), write=True)
        file = api.request("POST", f"/tickets/{number}/attachments?name=x.txt&internal=false", data=b"hello").get_json()
        THINGS[number] = {"messages": str(message["id"]), "attachments": file["id"]}
    return numbers


@pytest.mark.feature("F001", "F017", "F071", "F072", "F174", "F180")
def test_the_document_says_what_the_server_does_with_every_sort_of_ticket(api: Api) -> None:
    for name in ("own", "foreign"):
        api.apply("customers", name=name)
        api.apply("departments", name=name)
    mine = [{"customer": "own", "role": "member"}]
    clients = {role: api.as_user(f"is-{role}", roles=[role], memberships=mine) for role in ROLES}
    api.apply("departments", name="own", members=[f"is-{role}" for role in ROLES])
    numbers = {role: prepared(api, role) for role in ROLES}
    found: dict[str, dict[str, str]] = {}
    for title, operation, body in cases():
        if operation.write:
            numbers = {role: prepared(api, role) for role in ROLES}
        ids = references_on(api, numbers) if operation.name == "delete_ticket_reference" else {}
        found[title] = {
            role: "".join(
                mark(clients[role].request(operation.method, path_of(operation, number, ids), body).status_code)
                for number in numbers[role]
            )
            for role in ROLES
        }
    assert found == written(), f"docs/rights.md should say:\n{as_text(found)}"


def references_on(api: Api, numbers: dict[str, list[str]]) -> dict[str, int]:
    """The id of a new reference on each ticket."""
    return {
        number: api.call("POST", f"/tickets/{number}/references", REFERENCE, status=201)["id"]
        for several in numbers.values()
        for number in several
    }


def path_of(operation: Operation, number: str, ids: dict[str, int] | None = None) -> str:
    """The address of an operation on a ticket; a link is one to itself, which is looked at last."""
    there: dict[str, Any] = {"references": (ids or {}).get(number, 1), **THINGS.get(number, {})}
    owner = re.search(r"/(\w+)/\{id\}", operation.path)
    values = {"number": number, "type": "relates_to", "other": number, "id": there.get(owner[1], 1) if owner else 1}
    return operation.path.format_map(values)


@pytest.mark.feature("F001")
def test_a_foreign_ticket_answers_exactly_as_one_that_there_is_not(api: Api) -> None:
    api.apply("customers", name="foreign")
    number = api.call("POST", "/tickets", {"title": "x", "customer": "foreign"}, status=201)["number"]
    agent = api.as_user("mia", roles=["agent"])
    for operation in OPERATIONS:
        answers = []
        for name in (number, "TKT-999999", "nothing"):
            answer = agent.request(operation.method, path_of(operation, name), {} if operation.body else None)
            headers = {key: value for key, value in answer.headers.items() if key != "X-Request-Id"}
            answers.append((answer.status_code, {**(answer.get_json() or {}), "request_id": ""}, headers))
        assert answers[0] == answers[1] == answers[2], operation.name
