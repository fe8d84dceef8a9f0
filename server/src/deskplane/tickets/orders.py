"""Orders of the list of tickets, and its pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, select

from deskplane.desks.models import Label
from deskplane.kernel import pagination
from deskplane.kernel.actor import Actor
from deskplane.kernel.columns import Instant
from deskplane.kernel.crypto import Vault
from deskplane.kernel.db import execute
from deskplane.kernel.pagination import Order
from deskplane.kernel.work import Work
from deskplane.service_levels.clock import RUNNING
from deskplane.tickets.models import DUE_AT, ticket_labels, ticket_tags
from deskplane.tickets.queries import COUNTED, T, filters, first_of, rows, visible

_NEVER = datetime(9999, 12, 31, tzinfo=UTC)
DUE: ColumnElement[Any] = literal_column(f"({DUE_AT})", Instant())
"""When a running resolution clock is due; of a ticket without one, at the end of time. As its index has it."""


def _read(row: Any, label: str) -> Any:
    if label == "due_at":
        return (row.t_resolution_due_at if row.t_resolution_phase == RUNNING else None) or _NEVER
    return getattr(row, label)


_SORTS: list[tuple[str, tuple[Any, ...], bool, tuple[str, str]]] = [
    ("-updated_at", (T.updated_at, T.id), True, ("t_updated_at", "t_id")),
    ("updated_at", (T.updated_at, T.id), False, ("t_updated_at", "t_id")),
    ("-created_at", (T.created_at, T.id), True, ("t_created_at", "t_id")),
    ("created_at", (T.created_at, T.id), False, ("t_created_at", "t_id")),
    ("due_at", (DUE, T.id), False, ("due_at", "t_id")),
    ("-due_at", (DUE, T.id), True, ("due_at", "t_id")),
    ("priority", (T.priority, T.id), False, ("t_priority", "t_id")),
    ("-priority", (T.priority, T.id), True, ("t_priority", "t_id")),
    ("number", (T.prefix, T.sequence), False, ("t_prefix", "t_sequence")),
    ("-number", (T.prefix, T.sequence), True, ("t_prefix", "t_sequence")),
]

ORDERS = {
    name: Order(
        tuple((column, descending) for column in columns),
        lambda row, read=read: [_read(row, label) for label in read],  # type: ignore[misc]
    )
    for name, columns, descending, read in _SORTS
}


IDS = select(T.id)
Page = tuple[Sequence[Any], str | None]

_SELDOM_AGAIN = (
    *("cursor", "title", "correlation_key", "sla_state", "due_before"),
    *("created_since", "created_before", "updated_since", "updated_before"),
)
"""Parameters whose values are hardly ever asked for again, or that are compared with the time."""
_OF_INDEXES = ("updated_at", "-updated_at")
WALKED = 10_000
"""From how many tickets on a page is found by walking in the order asked for."""
MANY = 1000
_FEW = {
    "tag": select(func.count()).select_from(
        select(ticket_tags.c.tag).where(ticket_tags.c.tag == bindparam("of_word")).limit(MANY).subquery()
    ),
    "label": select(func.count()).select_from(
        select(ticket_labels.c.label_id)
        .join(Label, Label.id == ticket_labels.c.label_id)
        .where(Label.name == bindparam("of_word"))
        .limit(MANY)
        .subquery()
    ),
}


def conditions(work: Work, query: Mapping[str, Any], now: datetime) -> list[ColumnElement[bool]]:
    """What holds for the tickets that the caller sees and asks for, all but `q`."""
    seen = visible(work.actor)
    return [*([] if seen is None else [seen]), *filters(query, now, _common(work, query))]


def _common(work: Work, query: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(
        name
        for name, counting in _FEW.items()
        if query[name] is not None and work.session.execute(counting, {"of_word": query[name]}).scalar_one() >= MANY
    )


def _walked(work: Work, query: Mapping[str, Any]) -> frozenset[str]:
    """Filters that leave so many tickets that SQLite must not gather and sort them; PostgreSQL knows by itself. Most
    of their indexes are in the order of the last change."""
    if not work.is_sqlite or query["sort"] in _OF_INDEXES:
        return frozenset()
    return frozenset(
        name
        for name in COUNTED
        if query[name] and execute(work.session, first_of(name, query[name], WALKED), {}).scalar_one() >= WALKED
    )


def page(work: Work, statement: Select[Any], order: Order, *, scope: str, limit: int) -> Page:
    """The rows of `queries.SELECT` for a statement of ids, one more than the page has, and the next page's cursor."""
    ids = execute(work.session, statement, {}).scalars().all()
    found = rows(work, ids[:limit])
    following = pagination.sealed(order.read(found[-1]), scope, work.vault) if len(ids) > limit else None
    return found, following


def listing(work: Work, query: Mapping[str, Any], *more: ColumnElement[bool]) -> Select[Any]:
    """The ids of one page of the tickets that the caller sees and asks for, and for which `more` holds; one too many.

    A first page is asked for again and again, and making its statement costs as much as running it: it is kept.
    """
    common = _common(work, query) | _walked(work, query)
    if more or any(query[name] is not None for name in _SELDOM_AGAIN):
        return _listing(work.actor, query, common, work.clock.now(), work.vault).where(*more)
    asked = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in query.items())
    return _kept_listing(work.actor, asked, common, work.vault)


def _listing(
    actor: Actor, query: Mapping[str, Any], common: frozenset[str], now: datetime, vault: Vault
) -> Select[Any]:
    condition = visible(actor)
    statement = IDS.where(*([] if condition is None else [condition]), *filters(query, now, common))
    return pagination.page(
        statement,
        pagination.choose(ORDERS, query["sort"]),
        scope=f"tickets {query['sort']}",
        cursor=query["cursor"],
        limit=query["limit"],
        vault=vault,
    )


@lru_cache(maxsize=512)
def _kept_listing(
    actor: Actor, asked: tuple[tuple[str, Any], ...], common: frozenset[str], vault: Vault
) -> Select[Any]:
    return _listing(actor, dict(asked), common, datetime.min.replace(tzinfo=UTC), vault)
