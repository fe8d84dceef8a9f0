"""Reading tickets: selects that join what they refer to, and that carry the caller's rights in themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select, true
from sqlalchemy.orm import aliased

from deskplane.customers.models import Customer
from deskplane.desks.models import Department, Label, TicketType
from deskplane.kernel.actor import Actor
from deskplane.kernel.markup import to_html
from deskplane.kernel.pagination import Order
from deskplane.kernel.words import ENDED, PRIORITIES
from deskplane.kernel.work import Work
from deskplane.people.models import User
from deskplane.service_levels.clock import RUNNING, Deadline, worst
from deskplane.service_levels.models import SlaPolicy
from deskplane.tickets.models import Ticket, ticket_labels, ticket_tags

assignee = aliased(User, name="assignee")
owner = aliased(User, name="owner")
reporter = aliased(User, name="reporter")
creator = aliased(User, name="creator")

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
)
_CLOCK = ("phase", "warn_at", "critical_at", "due_at", "met_at")
_COLUMNS: dict[str, Any] = {
    **{name: getattr(Ticket, name) for name in _PLAIN},
    "type": TicketType.name,
    "customer": Customer.name,
    "department": Department.name,
    "assignee": assignee.username,
    "owner": owner.username,
    "reporter": reporter.username,
    "created_by": creator.username,
    "priority": Ticket.priority,
    "effective_priority": Ticket.effective_priority,
}
_SHOWN = tuple(_COLUMNS)
_HIDDEN: dict[str, Any] = {
    "id": Ticket.id,
    "version": Ticket.version,
    "prefix": Ticket.prefix,
    "sequence": Ticket.sequence,
    "policy": SlaPolicy.name,
    **{
        f"{clock}_{part}": getattr(Ticket, f"{clock}_{part}") for clock in ("response", "resolution") for part in _CLOCK
    },
}

SELECT = (
    select(*[column.label(f"t_{name}") for name, column in (_COLUMNS | _HIDDEN).items()])
    .select_from(Ticket)
    .outerjoin(TicketType, TicketType.id == Ticket.type_id)
    .outerjoin(Customer, Customer.id == Ticket.customer_id)
    .outerjoin(Department, Department.id == Ticket.department_id)
    .outerjoin(SlaPolicy, SlaPolicy.id == Ticket.sla_policy_id)
    .outerjoin(assignee, assignee.id == Ticket.assignee_id)
    .outerjoin(owner, owner.id == Ticket.owner_id)
    .outerjoin(reporter, reporter.id == Ticket.reporter_id)
    .outerjoin(creator, creator.id == Ticket.created_by_id)
)
_FIRST_HIDDEN = len(_SHOWN)
_ID = _FIRST_HIDDEN


def number_text(prefix: str, sequence: int) -> str:
    """`TKT-000123`; more digits when needed."""
    return f"{prefix}-{sequence:06d}"


def parse_number(number: str) -> tuple[str, int] | None:
    """Prefix and sequence of a number; None for what is none."""
    prefix, dash, digits = number.rpartition("-")
    if not dash or not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        return None
    return prefix.upper(), int(digits)


def visible(actor: Actor) -> ColumnElement[bool] | None:
    """Which tickets the caller may see (domain: tenancy); None: all of them.

    Those of his customers and departments; those that he reported, or that are assigned to him. A ticket without a
    customer is seen by its department only.
    """
    if actor.may("tickets:view_all") and actor.may("tickets:view_all_departments"):
        return None
    if actor.user_id is None:
        return false()
    own = or_(Ticket.reporter_id == actor.user_id, Ticket.assignee_id == actor.user_id)
    my_department = Ticket.department_id.in_(sorted(actor.departments))
    by_customer: ColumnElement[bool] = (
        true()
        if actor.may("tickets:view_all")
        else or_(Ticket.customer_id.in_(sorted(actor.member_of)), and_(Ticket.customer_id.is_(None), my_department))
    )
    by_department: ColumnElement[bool] = (
        true() if actor.may("tickets:view_all_departments") else or_(Ticket.department_id.is_(None), my_department)
    )
    return or_(own, and_(by_customer, by_department))


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


def _clock(values: Sequence[Any], now: datetime) -> tuple[dict[str, Any], tuple[str, bool]]:
    phase, warn_at, critical_at, due_at, met_at = values
    state = Deadline(phase, warn_at, critical_at, due_at, met_at).state(now)
    shown = {"state": state, "due_at": due_at, "warn_at": warn_at, "critical_at": critical_at, "met_at": met_at}
    return shown, (state, met_at is not None)


def answer(
    row: Sequence[Any], now: datetime, address: str, tags: Sequence[str] = (), labels: Sequence[str] = ()
) -> dict[str, Any]:
    """A row of `SELECT` as it is answered. States are those of `now`."""
    found = dict(zip(_SHOWN, row, strict=False))
    _id, _version, prefix, sequence, policy, *clocks = row[_FIRST_HIDDEN:]
    number = f"{prefix}-{sequence:06d}"
    found["number"] = number
    found["priority"] = PRIORITIES[found["priority"]]
    found["effective_priority"] = PRIORITIES[found["effective_priority"]]
    found["tags"] = tags
    found["labels"] = labels
    response, response_state = _clock(clocks[:5], now)
    resolution, resolution_state = _clock(clocks[5:], now)
    found["sla"] = {
        "policy": policy,
        "state": worst([response_state, resolution_state]),
        "response": response,
        "resolution": resolution,
    }
    found["url"] = f"{address}/tickets/{number}"
    return found


def with_html(found: dict[str, Any]) -> dict[str, Any]:
    """Adds the rendered description, for the answer of one ticket."""
    found["description_html"] = to_html(found["description"])
    return found


def words(work: Work, ids: Sequence[int]) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Tags and label names of tickets, sorted."""
    tags: dict[int, list[str]] = defaultdict(list)
    labels: dict[int, list[str]] = defaultdict(list)
    if ids:
        for ticket, tag in work.session.execute(
            select(ticket_tags.c.ticket_id, ticket_tags.c.tag).where(ticket_tags.c.ticket_id.in_(ids))
        ):
            tags[ticket].append(tag)
        for ticket, name in work.session.execute(
            select(ticket_labels.c.ticket_id, Label.name)
            .join(Label, Label.id == ticket_labels.c.label_id)
            .where(ticket_labels.c.ticket_id.in_(ids))
        ):
            labels[ticket].append(name)
    for found in (*tags.values(), *labels.values()):
        found.sort()
    return tags, labels


def answers(work: Work, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of `SELECT` as they are answered."""
    now, address = work.clock.now(), work.public_address
    tags, labels = words(work, [row[_ID] for row in rows])
    return [answer(row, now, address, tags.get(row[_ID], []), labels.get(row[_ID], [])) for row in rows]


def by_number(work: Work, number: str) -> Any:
    """The row of a ticket that the caller may see; None otherwise."""
    parts = parse_number(number)
    if parts is None:
        return None
    statement = SELECT.where(Ticket.prefix == parts[0], Ticket.sequence == parts[1])
    condition = visible(work.actor)
    if condition is not None:
        statement = statement.where(condition)
    return work.session.execute(statement).first()


def _named(column: Any, id_column: Any, name: str) -> ColumnElement[bool]:
    """The condition on a reference by name, without joining: the id is found first, so that its index is used."""
    if name == "none":
        return id_column.is_(None)  # type: ignore[no-any-return]
    model = column.class_
    return id_column == select(model.id).where(column == name).scalar_subquery()  # type: ignore[no-any-return]


_REFERENCES = {
    "customer": (Customer.name, Ticket.customer_id),
    "department": (Department.name, Ticket.department_id),
    "assignee": (User.username, Ticket.assignee_id),
    "owner": (User.username, Ticket.owner_id),
    "reporter": (User.username, Ticket.reporter_id),
    "type": (TicketType.name, Ticket.type_id),
}


def filters(query: Mapping[str, Any], now: datetime) -> list[ColumnElement[bool]]:
    """The conditions of the list's filters."""
    found: list[ColumnElement[bool]] = []
    if query["status"]:
        found.append(Ticket.status.in_(query["status"]))
    if query["open"] is not None:
        found.append(Ticket.status.not_in(ENDED) if query["open"] else Ticket.status.in_(ENDED))
    if query["priority"]:
        found.append(Ticket.priority.in_([PRIORITIES.index(name) for name in query["priority"]]))
    for name, (column, id_column) in _REFERENCES.items():
        if query[name] is not None:
            found.append(_named(column, id_column, query[name]))
    for name in ("title", "correlation_key"):
        if query[name] is not None:
            found.append(getattr(Ticket, name) == query[name])
    if query["tag"] is not None:
        found.append(Ticket.id.in_(select(ticket_tags.c.ticket_id).where(ticket_tags.c.tag == query["tag"])))
    if query["label"] is not None:
        label = select(Label.id).where(Label.name == query["label"]).scalar_subquery()
        found.append(Ticket.id.in_(select(ticket_labels.c.ticket_id).where(ticket_labels.c.label_id == label)))
    if query["updated_since"] is not None:
        found.append(Ticket.updated_at >= query["updated_since"])
    if query["due_before"] is not None:
        found.append(and_(Ticket.resolution_phase == RUNNING, Ticket.resolution_due_at < query["due_before"]))
    if query["sla_state"] is not None:
        found.append(_sla_state(query["sla_state"], now))
    return found


def _reached(edge: str, now: datetime) -> ColumnElement[bool]:
    """Some clock runs and is past this edge."""
    return or_(
        and_(Ticket.response_phase == RUNNING, getattr(Ticket, f"response_{edge}") <= now),
        and_(Ticket.resolution_phase == RUNNING, getattr(Ticket, f"resolution_{edge}") <= now),
    )


def _sla_state(state: str, now: datetime) -> ColumnElement[bool]:
    edges = {"warning": "warn_at", "critical": "critical_at", "breached": "due_at"}
    order = list(edges)
    some_run = or_(Ticket.response_phase == RUNNING, Ticket.resolution_phase == RUNNING)
    if state == "ok":
        return and_(some_run, ~_reached("warn_at", now))
    here = _reached(edges[state], now)
    if state == order[-1]:
        return here
    return and_(here, ~_reached(edges[order[order.index(state) + 1]], now))


_SORTS: list[tuple[str, tuple[Any, ...], bool, tuple[str, str]]] = [
    ("-updated_at", (Ticket.updated_at, Ticket.id), True, ("t_updated_at", "t_id")),
    ("updated_at", (Ticket.updated_at, Ticket.id), False, ("t_updated_at", "t_id")),
    ("-created_at", (Ticket.created_at, Ticket.id), True, ("t_created_at", "t_id")),
    ("created_at", (Ticket.created_at, Ticket.id), False, ("t_created_at", "t_id")),
    ("number", (Ticket.prefix, Ticket.sequence), False, ("t_prefix", "t_sequence")),
    ("-number", (Ticket.prefix, Ticket.sequence), True, ("t_prefix", "t_sequence")),
]

ORDERS = {
    name: Order(
        tuple((column, descending) for column in columns),
        lambda row, read=read: [getattr(row, label) for label in read],  # type: ignore[misc]
    )
    for name, columns, descending, read in _SORTS
}
