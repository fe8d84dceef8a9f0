"""Many tickets in one request: `POST /tickets/bulk`, with a result for each (domain: lifecycle).

One transaction, in which each ticket has a savepoint of its own: what is refused for one is undone for that one, and
said; the others are changed all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validates_schema
from sqlalchemy import tuple_

from deskplane.kernel.compound import ListOf, SetOf, described, object_schema
from deskplane.kernel.fields import Choice, Moment, Text, Whole, refuse
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import Problem, invalid_field, not_found
from deskplane.kernel.words import PRIORITIES, STATUSES
from deskplane.tickets import queries, removal, service
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import Ticket
from deskplane.tickets.schemas import MOST_EACH, Reference

MOST_AT_ONCE = 500
_WORDS = {
    "tags": Text("A word.", longest=60, shortest=1),
    "labels": Text("A label.", longest=120, shortest=1),
}


class BulkChange(Schema):
    """Which tickets, and what becomes of them."""

    tickets = ListOf("Numbers of the tickets.", Text("A number.", longest=30, shortest=1), most=MOST_AT_ONCE)
    action = Choice("V(change): the given fields are set. V(delete): they are deleted for good.", ("change", "delete"))
    status = Choice("Where they stand then; each takes the shortest way that its workflow has.", STATUSES)
    remind_at = Moment("When they come back to the top; only while they are waiting.")
    priority = Choice("How much they matter.", PRIORITIES)
    type = Reference("Name of the ticket type.", "ticket_type")
    department = Reference("Name of the department.", "department")
    assignee = Reference("Username of who works on them; null for nobody.", "user")
    owner = Reference("Username of who answers for them.", "user")
    group = Reference("Name of the group whose members work on them.", "group")
    add_tags = SetOf("Words that they get.", _WORDS["tags"], most=MOST_EACH)
    remove_tags = SetOf("Words that they lose.", _WORDS["tags"], most=MOST_EACH)
    add_labels = SetOf("Labels that they get.", _WORDS["labels"], most=MOST_EACH)
    remove_labels = SetOf("Labels that they lose.", _WORDS["labels"], most=MOST_EACH)
    comment = Text("An internal message that each of them gets.", longest=60_000, shortest=1, block=True)

    always = ("tickets", "action")

    @validates_schema(pass_original=True)
    def says_something(self, data: Any, original: Any, **_options: Any) -> None:
        """A deletion changes nothing else; a change changes something."""
        if not original.get("tickets"):
            raise ValidationError({"tickets": refuse("required", "must name at least one ticket").messages})
        fields = sorted(set(original) - set(self.always))
        if data.get("action") == "delete" and fields:
            detail = f"a deletion goes with no other field, and here is {', '.join(fields)}"
            raise ValidationError({"action": refuse("not_allowed", detail).messages})
        if data.get("action") == "change" and not fields:
            raise ValidationError({"action": refuse("required", "say which field is to change").messages})


class BulkResult(Schema):
    """What became of one ticket."""

    number = Text("Its number.", read_only=True)
    action = Choice(
        "V(failed): nothing of it was changed, and RV(problem) says why.",
        ("update", "delete", "none", "failed"),
        read_only=True,
    )


def bulk(call: Call) -> Reply:
    """POST /tickets/bulk"""
    numbers = list(dict.fromkeys(map(_one_spelling, call.body["tickets"])))
    drafts = _load(call, numbers)
    items = [_one(call, number, drafts.get(number)) for number in numbers]
    failed = sum(item["action"] == "failed" for item in items)
    changed = sum(item["action"] in ("update", "delete") for item in items)
    return Reply({"items": items, "changed": changed, "failed": failed})


def _one_spelling(number: str) -> str:
    """`TKT-000001` for `tkt-1`, so that no ticket is changed twice; what is no number stays as it is."""
    parts = queries.parse_number(number)
    return number if parts is None else queries.number_text(*parts)


def _load(call: Call, numbers: list[str]) -> dict[str, Draft]:
    """By number, the tickets that there are and that the caller may see, locked in one order."""
    parts = {number: wanted for number in numbers if (wanted := queries.parse_number(number)) is not None}
    if not parts:
        return {}
    condition = queries.visible(call.actor)
    conditions = [tuple_(Ticket.prefix, Ticket.sequence).in_(sorted(set(parts.values())))]
    drafts = service.load(call, *conditions, *([] if condition is None else [condition]))
    by_parts = {(draft.columns["prefix"], draft.columns["sequence"]): draft for draft in drafts}
    return {number: by_parts[wanted] for number, wanted in parts.items() if wanted in by_parts}


def _one(call: Call, number: str, draft: Draft | None) -> dict[str, Any]:
    try:
        if draft is None:
            raise not_found()
        with call.session.begin_nested():
            return {"number": number, "action": _change(call, draft, call.body), "problem": None}
    except Problem as problem:
        return {"number": number, "action": "failed", "problem": problem.to_dict()}


def _change(call: Call, draft: Draft, body: Mapping[str, Any]) -> str:
    if body["action"] == "delete":
        removal.delete_ticket(call, draft)
        return "delete"
    given = {name: value for name, value in body.items() if name in _FIELDS}
    for name in _WORDS:
        added, removed = body.get(f"add_{name}") or [], body.get(f"remove_{name}") or []
        if added or removed:
            given[name] = sorted({*getattr(draft, name), *added} - set(removed))
            if len(given[name]) > MOST_EACH:
                detail = f"it would have {len(given[name])} {name}; a ticket has {MOST_EACH} at most"
                raise invalid_field(f"add_{name}", "too_long", detail)
    version = draft.columns["version"]
    service.change(call, draft, given, comment=body.get("comment"))
    return "none" if draft.columns["version"] == version else "update"


_FIELDS = ("status", "remind_at", "priority", "type", "department", "assignee", "owner", "group")


def operations() -> Iterable[Operation]:
    """The one operation."""
    result = object_schema(described(BulkResult()), answer=True)
    result["properties"]["problem"] = {
        "type": ["object", "null"],
        "description": "Why it was refused, as the problem document of a request for this ticket alone.",
    }
    counted = {
        name: Whole(text, read_only=True).json_schema(answer=True)
        for name, text in (
            ("changed", "How many were changed or deleted."),
            ("failed", "How many were refused."),
        )
    }
    yield Operation(
        "change_tickets",
        "POST",
        "/api/v1/tickets/bulk",
        bulk,
        "Change or delete many tickets",
        "tickets",
        permission=("tickets:access",),
        body=BulkChange,
        partial=True,
        write=True,
        idempotency=True,
        answers={
            200: (
                "A result for each ticket, in the order in which they were named.",
                {
                    "type": "object",
                    "required": ["items", "changed", "failed"],
                    "properties": {"items": {"type": "array", "items": result}, **counted},
                },
            )
        },
        description="Each ticket is changed or refused by itself; the answer is 200 also where all are refused.",
    )
