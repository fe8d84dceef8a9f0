"""Reading tickets: selects that join what they refer to, and that carry the caller's rights in themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    UnaryExpression,
    and_,
    bindparam,
    false,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.sql.operators import custom_op

from deskplane.customers.models import Asset, Contact, Customer
from deskplane.desks.models import Department, Label, TicketType
from deskplane.desks.settings import setting
from deskplane.kernel.actor import Actor
from deskplane.kernel.db import execute, prepared
from deskplane.kernel.markup import to_html
from deskplane.kernel.words import ENDED, PRIORITIES
from deskplane.kernel.work import Work
from deskplane.people.models import Group, User
from deskplane.service_levels.clock import PAUSED, RUNNING, STOPPED, Deadline, worst
from deskplane.service_levels.models import SlaPolicy
from deskplane.service_levels.service import current_revision
from deskplane.tickets.models import Ticket, ticket_assets, ticket_labels, ticket_tags
from deskplane.tickets.words import given, ids_given, words

# Tables and not mapped classes: a select of columns alone costs a fraction of one that the ORM looks into
TICKETS = cast(Table, Ticket.__table__)
T = TICKETS.c
_types = cast(Table, TicketType.__table__)
_customers = cast(Table, Customer.__table__)
_departments = cast(Table, Department.__table__)
_policies = cast(Table, SlaPolicy.__table__)
_labels = cast(Table, Label.__table__)
_users = cast(Table, User.__table__)
_groups = cast(Table, Group.__table__)
_contacts = cast(Table, Contact.__table__)
_assets = cast(Table, Asset.__table__)
_assignee = _users.alias("assignee")
_owner = _users.alias("owner")
_reporter = _users.alias("reporter")
_creator = _users.alias("creator")

_PLAIN = (
    "title",
    "description",
    "status",
    "remind_at",
    "source",
    "correlation_key",
    "occurrences",
    "last_occurred_at",
    "reopened_count",
    "created_at",
    "updated_at",
    "resolved_at",
    "closed_at",
    "last_contact_at",
    "last_contact_direction",
)
_CLOCK = ("phase", "warn_at", "critical_at", "due_at", "met_at", "left")
_COLUMNS: dict[str, Any] = {
    **{name: getattr(T, name) for name in _PLAIN},
    "type": _types.c.name,
    "customer": _customers.c.name,
    "department": _departments.c.name,
    "assignee": _assignee.c.username,
    "owner": _owner.c.username,
    "group": _groups.c.name,
    "contact": _contacts.c.email,
    "reporter": _reporter.c.username,
    "created_by": _creator.c.username,
    "priority": T.priority,
    "effective_priority": T.effective_priority,
}
_SHOWN = tuple(_COLUMNS)
_HIDDEN: dict[str, Any] = {
    "id": T.id,
    "version": T.version,
    "prefix": T.prefix,
    "sequence": T.sequence,
    "policy": _policies.c.name,
    "sla_revision": T.sla_revision,
    "contact_id": T.contact_id,
    **{f"{clock}_{part}": getattr(T, f"{clock}_{part}") for clock in ("response", "resolution") for part in _CLOCK},
}

SELECT = (
    select(*[column.label(f"t_{name}") for name, column in (_COLUMNS | _HIDDEN).items()])
    .select_from(TICKETS)
    .outerjoin(_types, _types.c.id == T.type_id)
    .outerjoin(_customers, _customers.c.id == T.customer_id)
    .outerjoin(_departments, _departments.c.id == T.department_id)
    .outerjoin(_policies, _policies.c.id == T.sla_policy_id)
    .outerjoin(_assignee, _assignee.c.id == T.assignee_id)
    .outerjoin(_owner, _owner.c.id == T.owner_id)
    .outerjoin(_groups, _groups.c.id == T.group_id)
    .outerjoin(_contacts, _contacts.c.id == T.contact_id)
    .outerjoin(_reporter, _reporter.c.id == T.reporter_id)
    .outerjoin(_creator, _creator.c.id == T.created_by_id)
)
_ROWS = {sqlite: prepared(SELECT.where(given(T.id, sqlite=sqlite))) for sqlite in (True, False)}
_FIRST_HIDDEN = len(_SHOWN)
_ID = _FIRST_HIDDEN


def number_text(prefix: str, sequence: int) -> str:
    """`TKT-000123`; more digits when needed."""
    return f"{prefix}-{sequence:06d}"


_NUMBER = re.compile(r"([A-Za-z][A-Za-z0-9]{0,9})-([0-9]{1,9})")


def parse_number(number: str) -> tuple[str, int] | None:
    """Prefix and sequence of a number; None for what is none, which then never reaches the database."""
    found = _NUMBER.fullmatch(number)
    return (found[1].upper(), int(found[2])) if found else None


def address(work: Work) -> str:
    """What links to tickets begin with: the desk's own address, else the one that the request came to."""
    found: str = setting(work, "public_url") or work.public_address
    return found.rstrip("/")


def visible(actor: Actor) -> ColumnElement[bool] | None:
    """Which tickets the caller may see (domain: tenancy); None: all of them.

    Those of his customers and departments; those that he reported, or that are assigned to him. A ticket without a
    customer is seen by its department only.
    """
    if actor.may("tickets:view_all") and actor.may("tickets:view_all_departments"):
        return None
    if actor.user_id is None:
        return false()
    return or_(own(actor), in_scope(actor))


def own(actor: Actor) -> ColumnElement[bool]:
    """That the caller reported the ticket, or works on it."""
    return or_(T.reporter_id == actor.user_id, T.assignee_id == actor.user_id)


def in_scope(actor: Actor) -> ColumnElement[bool]:
    """That the ticket is of his customers and departments."""
    my_department = T.department_id.in_(sorted(actor.departments))
    by_customer: ColumnElement[bool] = (
        true()
        if actor.may("tickets:view_all")
        else or_(T.customer_id.in_(sorted(actor.member_of)), and_(T.customer_id.is_(None), my_department))
    )
    by_department: ColumnElement[bool] = (
        true() if actor.may("tickets:view_all_departments") else or_(T.department_id.is_(None), my_department)
    )
    return and_(by_customer, by_department)


def may_see(actor: Actor, customer_id: str | None, department_id: str | None) -> bool:
    """The rule of `visible` for a ticket in hand, apart from what is one's own."""
    if not actor.may("tickets:access"):
        return False
    in_department = department_id is not None and department_id in actor.departments
    by_customer = actor.may("tickets:view_all") or (
        in_department if customer_id is None else customer_id in actor.member_of
    )
    by_department = actor.may("tickets:view_all_departments") or department_id is None or in_department
    return by_customer and by_department


class View(NamedTuple):
    """What an answer depends on besides the ticket: the moment whose states it shows, the beginning of addresses, and
    the revision of policies and calendars."""

    now: datetime
    address: str
    revision: int


def view(work: Work) -> View:
    """For the answers of this transaction."""
    return View(work.clock.now(), address(work), current_revision(work))


_NOTHING = ("none", False)
_NO_PROMISE = {"state": "none", **dict.fromkeys(("due_at", "warn_at", "critical_at", "met_at", "left_seconds"))}
_SECOND = timedelta(seconds=1)


def _clock(values: Sequence[Any], now: datetime) -> tuple[dict[str, Any], tuple[str, bool]]:
    phase, warn_at, critical_at, due_at, met_at, left = values
    if phase is None and met_at is None:  # nothing was promised: most tickets of most desks
        return dict(_NO_PROMISE), _NOTHING
    state = Deadline(phase, warn_at, critical_at, due_at, met_at, left).state(now)
    shown = {
        "state": state,
        "due_at": due_at,
        "warn_at": warn_at,
        "critical_at": critical_at,
        "met_at": met_at,
        "left_seconds": None if left is None else left // _SECOND,
    }
    return shown, (state, met_at is not None)


def answer(
    row: Sequence[Any],
    view: View,
    tags: Sequence[str] = (),
    labels: Sequence[str] = (),
    assets: Sequence[tuple[str, datetime | None]] = (),
) -> dict[str, Any]:
    """A row of `SELECT` as it is answered. `assets` are names, each with the movement that the ticket points at."""
    found = dict(zip(_SHOWN, row, strict=False))
    _id, _version, prefix, sequence, policy, revision, _contact_id, *clocks = row[_FIRST_HIDDEN:]
    now = view.now
    number = f"{prefix}-{sequence:06d}"
    found["number"] = number
    found["priority"] = PRIORITIES[found["priority"]]
    found["effective_priority"] = PRIORITIES[found["effective_priority"]]
    found["tags"] = tags
    found["labels"] = labels
    found["assets"] = [name for name, _at in assets]
    found["movement"] = next(({"asset": name, "at": at} for name, at in assets if at), None)
    response, response_state = _clock(clocks[: len(_CLOCK)], now)
    resolution, resolution_state = _clock(clocks[len(_CLOCK) :], now)
    found["sla"] = {
        "policy": policy,
        "state": "none"
        if response_state is resolution_state is _NOTHING
        else worst([response_state, resolution_state]),
        "recalculating": revision < view.revision and found["status"] not in ENDED,
        "response": response,
        "resolution": resolution,
    }
    found["url"] = f"{view.address}/tickets/{number}"
    return found


def with_html(found: dict[str, Any]) -> dict[str, Any]:
    """Adds the rendered description, for the answer of one ticket."""
    found["description_html"] = to_html(found["description"])
    return found


def rows(work: Work, ids: Sequence[int]) -> list[Any]:
    """Rows of `SELECT` for these tickets, in this order.

    Lists find ids first: the statement that filters and sorts has nothing to join then, and this one is the same for
    all lists, so that the database need not make a plan for it each time.
    """
    found = {row.t_id: row for row in execute(work.session, _ROWS[work.is_sqlite], ids_given(work, ids))} if ids else {}
    return [found[ticket_id] for ticket_id in ids]


def answers(work: Work, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of `SELECT` as they are answered."""
    looking = view(work)
    marked = words(work, [row[_ID] for row in rows])
    return [answer(row, looking, *marked.of(row[_ID])) for row in rows]


@lru_cache(maxsize=1024)
def _by_number(actor: Actor) -> Select[Any]:
    """The statement for a caller; made once, since making it costs more than running it."""
    statement = SELECT.where(T.prefix == bindparam("of_prefix"), T.sequence == bindparam("of_sequence"))
    condition = visible(actor)
    return prepared(statement if condition is None else statement.where(condition))


def by_number(work: Work, number: str) -> Any:
    """The row of a ticket that the caller may see; None otherwise."""
    parts = parse_number(number)
    if parts is None:
        return None
    parameters = {"of_prefix": parts[0], "of_sequence": parts[1]}
    return execute(work.session, _by_number(work.actor), parameters).first()


def _named(column: Any, id_column: Any, name: str) -> ColumnElement[bool]:
    """The condition on a reference by name, without joining: the id is found first, so that its index is used."""
    if name == "none":
        return id_column.is_(None)  # type: ignore[no-any-return]
    return id_column == select(column.table.c.id).where(column == name).scalar_subquery()  # type: ignore[no-any-return]


_REFERENCES = {
    "customer": (_customers.c.name, T.customer_id),
    "department": (_departments.c.name, T.department_id),
    "assignee": (_users.c.username, T.assignee_id),
    "owner": (_users.c.username, T.owner_id),
    "group": (_groups.c.name, T.group_id),
    "contact": (_contacts.c.email, T.contact_id),
    "reporter": (_users.c.username, T.reporter_id),
    "type": (_types.c.name, T.type_id),
}


def _unled(column: Any) -> Any:
    """A column whose index SQLite leaves alone. It knows nothing of how many rows a value has."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


COUNTED = (*_REFERENCES, "status")
"""Filters of which SQLite cannot tell whether they leave many tickets."""


def first_of(name: str, value: Any, most: int) -> Select[Any]:
    """How many tickets one of these filters leaves, counted up to so many."""
    condition = T.status.in_(value) if name == "status" else _named(*_REFERENCES[name], value)
    return select(func.count()).select_from(select(T.id).where(condition).limit(most).subquery())


def id_of(field: str, name: str) -> Any:
    """The id behind a name of the filters `customer` and `department`, in a statement; an empty text for `none`."""
    column = _REFERENCES[field][0]
    return "" if name == "none" else select(column.table.c.id).where(column == name).scalar_subquery()


def _among(found: Select[Any], column: Any, common: bool) -> ColumnElement[bool]:
    return found.where(column == T.id).correlate(TICKETS).exists() if common else T.id.in_(found)


def filters(query: Mapping[str, Any], now: datetime, common: frozenset[str] = frozenset()) -> list[ColumnElement[bool]]:
    """The conditions of the list's filters. `common` says for which of them so many tickets are found that walking the
    tickets in order and asking each finds a page sooner than gathering all of them, and sorting those."""
    found: list[ColumnElement[bool]] = []
    if query["status"]:
        found.append((_unled(T.status) if "status" in common else T.status).in_(query["status"]))
    if query["open"] is not None:
        found.append(T.status.not_in(ENDED) if query["open"] else T.status.in_(ENDED))
    if query["priority"]:
        found.append(T.priority.in_([PRIORITIES.index(name) for name in query["priority"]]))
    for name, (column, id_column) in _REFERENCES.items():
        if query[name] is not None:
            found.append(_named(column, _unled(id_column) if name in common else id_column, query[name]))
    for name in ("title", "correlation_key"):
        if query[name] is not None:
            found.append(getattr(T, name) == query[name])
    if query["tag"] is not None:
        tagged = select(ticket_tags.c.ticket_id).where(ticket_tags.c.tag == query["tag"])
        found.append(_among(tagged, ticket_tags.c.ticket_id, "tag" in common))
    if query["label"] is not None:
        label = select(_labels.c.id).where(_labels.c.name == query["label"]).scalar_subquery()
        labelled = select(ticket_labels.c.ticket_id).where(ticket_labels.c.label_id == label)
        found.append(_among(labelled, ticket_labels.c.ticket_id, "label" in common))
    if query["asset"] is not None:
        named = select(_assets.c.id).where(_assets.c.name == query["asset"])
        found.append(T.id.in_(select(ticket_assets.c.ticket_id).where(ticket_assets.c.asset_id.in_(named))))
    if query.get("asset_id") is not None:  # of the list of an asset's tickets
        about = select(ticket_assets.c.ticket_id).where(ticket_assets.c.asset_id == query["asset_id"])
        found.append(T.id.in_(about))
    for column, name in ((T.created_at, "created"), (T.updated_at, "updated")):
        if query[f"{name}_since"] is not None:
            found.append(column >= query[f"{name}_since"])
        if query[f"{name}_before"] is not None:
            found.append(column < query[f"{name}_before"])
    if query["due_before"] is not None:
        found.append(and_(T.resolution_phase == RUNNING, T.resolution_due_at < query["due_before"]))
    if query["sla_state"] is not None:
        found.append(_sla_state(query["sla_state"], now))
    return found


def _some(phase: str, condition: Callable[[str], ColumnElement[bool]] | None = None) -> ColumnElement[bool]:
    """Some clock is in this phase, and the condition (given the clock's name) holds for it.

    A clock of which nothing was promised has no phase; the comparison must be false for it and not unknown, or else
    its negation would be unknown too.
    """
    found = []
    for clock in ("response", "resolution"):
        here = func.coalesce(getattr(T, f"{clock}_phase"), "") == phase
        found.append(here if condition is None else and_(here, condition(clock)))
    return or_(*found)


def _reached(edge: str, now: datetime) -> ColumnElement[bool]:
    """Some clock runs and is past this edge."""
    return _some(RUNNING, lambda clock: _past(clock, edge, now))


def _past(clock: str, edge: str, moment: Any) -> ColumnElement[bool]:
    """Whether an edge lies before a moment. One that never comes is null: then it is false, not unknown."""
    column = getattr(T, f"{clock}_{edge}")
    return and_(column.is_not(None), column <= moment)


def _sla_state(state: str, now: datetime) -> ColumnElement[bool]:
    """The state that is shown: the worst one of the clocks that are not met, else the worst of all."""
    some_run, some_pause = _some(RUNNING), _some(PAUSED)
    unmet = or_(some_run, some_pause)
    warned, critical = _reached("warn_at", now), _reached("critical_at", now)
    late = _some(STOPPED, _met_late)
    # a clock that was breached already stays so while it is paused
    breached = or_(_reached("due_at", now), _some(PAUSED, lambda clock: _past(clock, "due_at", now)))
    conditions: dict[str, ColumnElement[bool]] = {
        "none": and_(~unmet, ~_some(STOPPED)),
        "ok": and_(some_run, ~warned, ~critical, ~breached),
        "warning": and_(warned, ~critical, ~breached),
        "critical": and_(critical, ~breached),
        "breached": or_(breached, and_(~unmet, late)),
        "paused": and_(some_pause, ~some_run, ~breached),
        "met": and_(~unmet, _some(STOPPED), ~late),
    }
    return conditions[state]


def _met_late(clock: str) -> ColumnElement[bool]:
    due_at = getattr(T, f"{clock}_due_at")
    return and_(due_at.is_not(None), getattr(T, f"{clock}_met_at") > due_at)
