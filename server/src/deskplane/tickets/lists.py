"""Lists of tickets: filters, words, order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deskplane.kernel import pagination
from deskplane.kernel.db import execute
from deskplane.kernel.operation import Call, Reply
from deskplane.kernel.problem import invalid_field
from deskplane.tickets import queries, search

RELEVANCE = "relevance"


def listing(call: Call) -> Reply:
    """GET /tickets"""
    return page(call, dict(call.query))


def page(call: Call, query: dict[str, Any]) -> Reply:
    """One page of the tickets that the caller sees and asks for."""
    rows: Sequence[Any]
    query["sort"] = query["sort"] or ("-updated_at" if query["q"] is None else RELEVANCE)
    if query["sort"] == RELEVANCE:
        if query["q"] is None:
            raise invalid_field("sort", "not_allowed", "relevance orders the matches of q, which is missing")
        rows, following = search.ranked(call, query, queries.conditions(call, query, call.clock.now()))
    else:
        matching = [] if query["q"] is None else [search.matching(call, query["q"])]
        statement = queries.listing(call, query, *matching)
        order, scope = pagination.choose(queries.ORDERS, query["sort"]), f"tickets {query['sort']}"
        found = execute(call.session, statement, {}).all()
        rows, following = pagination.cut(found, order, scope=scope, limit=query["limit"], vault=call.vault)
    return Reply({"items": queries.answers(call, rows), "next_cursor": following})
