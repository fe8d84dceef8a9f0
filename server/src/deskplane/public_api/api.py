"""The endpoints under `/public/v1/tickets`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from deskplane.kernel import pagination
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.db import execute
from deskplane.kernel.etag import etag, not_modified
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import invalid_field, not_found
from deskplane.public_api import service
from deskplane.public_api.schemas import (
    PublicCreate,
    PublicList,
    PublicPatch,
    PublicTicket,
    UsageEntry,
    UsageList,
)
from deskplane.tickets import orders, queries
from deskplane.tickets import service as tickets
from deskplane.tickets.draft import Draft

BASE = "/public/v1/tickets"
FIELDS = tuple(described(PublicTicket()))


def _limited(view: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
    """The view of a request that was counted before: refused where it is one too many."""

    def run(call: Call) -> Reply:
        service.require(call.prepared)
        # a switch of its own opens this way
        everywhere = call.actor.member_of | call.actor.shut_out_of
        reply = view(replace(call, actor=replace(call.actor, member_of=everywhere)))
        return replace(reply, headers={**reply.headers, **service.headers(call.prepared)})

    return run


def _shown(ticket: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ticket[name] for name in FIELDS}


def _row(call: Call) -> Any:
    parts = queries.parse_number(call.path["number"])
    condition = service.condition(call)
    if parts is None:
        raise not_found()
    statement = queries.SELECT.where(queries.T.prefix == parts[0], queries.T.sequence == parts[1], condition)
    row = execute(call.session, statement, {}).first()
    if row is None:
        raise not_found()
    return row


def listing(call: Call) -> Reply:
    """GET /public/v1/tickets"""
    query = call.query
    statement = orders.IDS.where(service.condition(call))
    if query["status"]:
        statement = statement.where(queries.T.status.in_(query["status"]))
    if query["customer"] is not None:
        named = [key for key, name in service.customers(call).items() if name == query["customer"]]
        statement = statement.where(queries.T.customer_id.in_(named))
    if query["updated_since"] is not None:
        statement = statement.where(queries.T.updated_at >= query["updated_since"])
    order = pagination.choose(orders.ORDERS, query["sort"])
    scope, limit = f"public tickets {query['sort']}", query["limit"]
    statement = pagination.page(statement, order, scope=scope, cursor=query["cursor"], limit=limit, vault=call.vault)
    rows, following = orders.page(call, statement, order, scope=scope, limit=limit)
    return Reply({"items": [_shown(found) for found in queries.answers(call, rows)], "next_cursor": following})


def get(call: Call) -> Reply:
    """GET /public/v1/tickets/{number}"""
    row = _row(call)
    found = _shown(queries.answers(call, [row])[0])
    tag = etag(row.t_version, found)
    if not_modified(call.if_none_match, tag):
        return Reply(None, 304, {"ETag": tag})
    return Reply(found, 200, {"ETag": tag})


def create(call: Call) -> Reply:
    """POST /public/v1/tickets"""
    names = set(service.customers(call).values())
    given = dict(call.body)
    if given.get("customer") is None:
        if len(names) > 1:
            raise invalid_field("customer", "required", "is required, since you work for several", sorted(names))
        given["customer"] = min(names)
    elif given["customer"] not in names:
        raise invalid_field(
            "customer", "unknown_reference", "is none of your customers with the public API", sorted(names)
        )
    draft = tickets.open_ticket(call, given)
    return _answer(call, draft, 201, Location=f"{BASE}/{draft.number}")


def patch(call: Call) -> Reply:
    """PATCH /public/v1/tickets/{number}"""
    _row(call)
    draft = tickets.load_by_number(call, call.path["number"])
    tickets.change(call, draft, call.body, if_match=call.if_match, one_step=True)
    return _answer(call, draft, 200)


def _answer(call: Call, draft: Draft, status: int, **headers: str) -> Reply:
    found = _shown(draft.answer(queries.view(call)))
    return Reply(found, status, {"ETag": etag(draft.columns["version"], found), **headers})


def usage(call: Call) -> Reply:
    """GET /api/v1/public-api/usage"""
    return Reply({"items": service.usage(call, call.query["since"])})


def operations() -> Iterable[Operation]:
    """Every operation of the public API, and who used how much of it."""
    thing = object_schema(described(PublicTicket()), answer=True)
    entry = object_schema(described(UsageEntry()), answer=True)
    limited = "Limited to `public_api.requests_per_minute` for each key; `RateLimit` says what is left."
    refusals = {
        404: "There is nothing, or it is not yours to see, or no customer of yours has the public API.",
        429: "The key's requests of this minute are used up; Retry-After says when to go on.",
    }
    common: dict[str, Any] = {
        "prepare": service.count,
        "prepare_writes": True,
        "description": limited,
        "refusals": refusals,
    }
    yield Operation(
        "list_public_tickets",
        "GET",
        BASE,
        _limited(listing),
        "List tickets of the caller's customers",
        "public",
        permission=("tickets:access",),
        query=PublicList,
        answers={200: ("A page.", pagination.page_schema(thing))},
        **common,
    )
    yield Operation(
        "create_public_ticket",
        "POST",
        BASE,
        _limited(create),
        "Open a ticket for one of the caller's customers",
        "public",
        permission=("tickets:create",),
        body=PublicCreate,
        write=True,
        idempotency=True,
        answers={201: ("The ticket.", thing)},
        **common,
    )
    one = f"{BASE}/{{number}}"
    yield Operation(
        "get_public_ticket",
        "GET",
        one,
        _limited(get),
        "Read a ticket of the caller's customers",
        "public",
        permission=("tickets:access",),
        etag=True,
        answers={200: ("The ticket.", thing), 304: ("It is as it was.", None)},
        **common,
    )
    yield Operation(
        "update_public_ticket",
        "PATCH",
        one,
        _limited(patch),
        "Change a ticket of the caller's customers",
        "public",
        permission=("tickets:access",),
        body=PublicPatch,
        partial=True,
        write=True,
        etag=True,
        answers={200: ("The ticket.", thing)},
        **common,
    )
    yield Operation(
        "public_api_usage",
        "GET",
        "/api/v1/public-api/usage",
        usage,
        "How much each key used the public API",
        "server",
        permission=("users:manage",),
        query=UsageList,
        answers={
            200: (
                "A row for each key and day, the newest first.",
                {
                    "type": "object",
                    "required": ["items"],
                    "properties": {"items": {"type": "array", "items": entry}},
                },
            )
        },
    )
