"""Why a ticket is due when it is due: `GET /tickets/{number}/sla` (domain: service levels)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from marshmallow import Schema

from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.fields import Flag, Moment, Text, Whole
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import not_found
from deskplane.service_levels.clock import used
from deskplane.service_levels.service import Promise
from deskplane.service_levels.working_time import AROUND_THE_CLOCK
from deskplane.tickets import queries, references, service
from deskplane.tickets.draft import CLOCKS, Draft
from deskplane.tickets.models import Ticket
from deskplane.tickets.schemas import Clock, Nested

MOST_WINDOWS = 200
_SECOND = timedelta(seconds=1)


class ExplainedClock(Clock):
    """A clock with what its deadline is made of."""

    started_at = Moment("When it began.", read_only=True)
    target_minutes = Whole("Working time that was promised; null where nothing was.", read_only=True)
    used_seconds = Whole("Working time that it has counted, in seconds.", read_only=True)
    left_seconds = Whole("Working time that is left, in seconds; 0 when the target is used up.", read_only=True)


class Span(Schema):
    """A stretch of working time."""

    since = Moment("Its beginning.", read_only=True)
    until = Moment("Its end.", read_only=True)


class ExplainedPause(Span):
    """Time that counts for nobody."""

    until = Moment("Its end; null while it lasts.", read_only=True)
    status = Text("The status in which the ticket stood.", read_only=True)
    counted_seconds = Whole("How much of it is working time, and so moved the deadlines, in seconds.", read_only=True)


class Explanation(Schema):
    """A ticket's service level, explained."""

    policy = Text("Name of the policy; null where none fits.", read_only=True)
    reason = Text("Why it is this policy.", read_only=True)
    calendar = Text("Name of the policy's calendar; null for around the clock.", read_only=True)
    state = Text("The worst state of the clocks that are not met, else the worst of all.", read_only=True)
    recalculating = Flag(
        "Whether policies or calendars changed and a worker has not come to this ticket yet.", read_only=True
    )
    response = Nested("Until the first answer.", ExplainedClock)
    resolution = Nested("Until the ticket is resolved.", ExplainedClock)


def explain(call: Call) -> Reply:
    """GET /tickets/{number}/sla"""
    row = queries.by_number(call, call.path["number"])
    if row is None:
        raise not_found()
    (draft,) = service.loaded(call, Ticket.id == row.t_id)
    now, promise = call.clock.now(), draft.promise
    shown = queries.answers(call, [row])[0]["sla"]
    found: dict[str, Any] = {
        "policy": shown["policy"],
        "reason": _reason(call, draft, promise),
        "calendar": promise.calendar if promise else None,
        "state": shown["state"],
        "recalculating": shown["recalculating"],
        **{clock: _clock(draft, clock, shown[clock], now) for clock in CLOCKS},
        "pauses": [],
        "working_time": [],
        "more_working_time": False,
    }
    if promise is None:
        return Reply(found)
    working = promise.working
    found["pauses"] = [
        {
            "since": pause.since,
            "until": pause.until,
            "status": pause.status,
            "counted_seconds": working.between(pause.since, pause.until or now) // _SECOND,
        }
        for pause in draft.pauses
    ]
    if working is not AROUND_THE_CLOCK:
        ends = [moment for clock in CLOCKS for name in ("due_at", "met_at") if (moment := shown[clock][name])]
        spans = list(islice(working.spans(draft.columns["created_at"], max([now, *ends])), MOST_WINDOWS + 1))
        found["working_time"] = [{"since": since, "until": until} for since, until in spans[:MOST_WINDOWS]]
        found["more_working_time"] = len(spans) > MOST_WINDOWS
    return Reply(found)


def _clock(draft: Draft, name: str, shown: dict[str, Any], now: datetime) -> dict[str, Any]:
    terms = draft.promise.terms(name) if draft.promise else None
    started_at = draft.started_at(name)
    found = {**shown, "started_at": started_at, "target_minutes": None, "used_seconds": None, "left_seconds": None}
    if terms is not None:
        spent = used(terms.working, started_at, draft.pauses, shown["met_at"] or now)
        found["target_minutes"] = terms.target // timedelta(minutes=1)
        found["used_seconds"] = spent // _SECOND
        found["left_seconds"] = max(timedelta(0), terms.target - spent) // _SECOND
    return found


def _reason(call: Call, draft: Draft, promise: Promise | None) -> str:
    if promise is None:
        return "no policy covers its priority and customer"
    customer_id, customer = draft.columns["customer_id"], draft.names["customer"]
    there = references.find(call, "customer", object_id=customer_id) if customer_id else None
    if there is not None and there.sla_policy_id == promise.id:
        return f"the customer {customer} names it"
    listed = [f"the customer {customer}"] if promise.customers else []
    listed += [f"the priority {draft.priority}"] if promise.priorities else []
    return f"it lists {' and '.join(listed)}" if listed else "it covers every ticket"


def operations() -> Iterable[Operation]:
    """The explanation."""
    answer = object_schema(described(Explanation()), answer=True)
    for name, schema, text in (
        ("pauses", ExplainedPause, "When both clocks stood still, in order."),
        ("working_time", Span, f"The calendar's working time from the creation on, at most {MOST_WINDOWS} windows."),
    ):
        items = object_schema(described(schema()), answer=True)
        answer["properties"][name] = {"type": "array", "items": items, "description": text}
    answer["properties"]["more_working_time"] = {"type": "boolean", "description": "Whether there are more windows."}
    yield Operation(
        "explain_ticket_sla",
        "GET",
        "/api/v1/tickets/{number}/sla",
        explain,
        "Why a ticket is due when it is due",
        "tickets",
        permission=("tickets:access",),
        answers={200: ("The service level, explained.", answer)},
    )
