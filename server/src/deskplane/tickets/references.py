"""What tickets refer to by name: looking it up, and saying what there is not."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import select

from deskplane.customers.models import Contact, Customer
from deskplane.desks.models import Department, Label, TicketType
from deskplane.desks.settings import setting
from deskplane.desks.workflows import Workflow, workflow
from deskplane.kernel.problem import FieldError, invalid, pointer
from deskplane.kernel.words import did_you_mean
from deskplane.kernel.work import Work
from deskplane.people.models import Group, User
from deskplane.tickets.draft import NAMED, Draft

_MODELS: dict[str, tuple[Any, Any]] = {
    "type": (TicketType, TicketType.name),
    "customer": (Customer, Customer.name),
    "department": (Department, Department.name),
    "assignee": (User, User.username),
    "owner": (User, User.username),
    "group": (Group, Group.name),
    "contact": (Contact, Contact.email),
}
_KINDS = {"type": "ticket_type", "labels": "label", "assignee": "user", "owner": "user"}


class Found(NamedTuple):
    """What a ticket refers to, as far as it matters to the ticket."""

    id: str
    name: str
    number_prefix: str | None = None
    sla_policy_id: str | None = None
    enabled: bool = True
    workflow_id: str | None = None
    features: Mapping[str, bool] = MappingProxyType({})
    customer_id: str | None = None
    department_id: str | None = None


def find(work: Work, field: str, *, name: str | None = None, object_id: str | None = None) -> Found | None:
    """A customer, department, type, user, group or contact by name or id; kept as long as the configuration stands."""
    model, name_column = _MODELS[field]

    def load() -> Found | None:
        columns = [model.id, name_column.label("name")]
        columns += [getattr(model, extra) for extra in Found._fields[2:] if hasattr(model, extra)]
        statement = select(*columns).where(model.id == object_id if object_id else name_column == name)
        if model is User:
            statement = statement.where(User.deleted_at.is_(None))
        row = work.session.execute(statement).first()
        return Found(**row._mapping) if row is not None else None

    return work.keep((model.__tablename__, name, object_id), load)


def label_ids(work: Work) -> dict[str, str]:
    """Every label's id by its name; kept as long as the configuration stands."""
    return work.keep("labels", lambda: dict(work.session.execute(select(Label.name, Label.id)).all()))


def unknown(work: Work, field: str, name: str) -> FieldError:
    """The error for a name that nothing has, with the nearest name among those that the caller may see."""
    kind = work.registry[_KINDS.get(field, field)]
    statement = select(kind.key_column).where(*kind.alive()).order_by(kind.key_column).limit(1000)
    condition = kind.visible(work.actor) if kind.visible else None
    if condition is not None:
        statement = statement.where(condition)
    known = list(work.session.execute(statement).scalars())
    detail = f"there is no {kind.title} named {name!r}{did_you_mean(name, known)}"
    return FieldError(
        pointer(field), "unknown_reference", detail, sorted(known) if field in ("type", "labels") else None
    )


def workflow_of(work: Work, draft: Draft) -> Workflow:
    """The workflow of a ticket's department, else the global one."""
    department_id = draft.columns["department_id"]
    department = find(work, "department", object_id=department_id) if department_id else None
    named = department.workflow_id if department else None
    return workflow(work, named, setting(work, "workflow.default"))


def unresolved(work: Work, given: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is referred to and is not there, or not the caller's."""
    found = []
    for field in NAMED:
        name = given.get(field) if field != "contact" else None  # one that is not there is made
        there = find(work, field, name=name) if name is not None else None
        if name is not None and (there is None or (field == "customer" and not works_for(work, there.id))):
            found.append({"field": field, "kind": _KINDS.get(field, field), "name": str(name)})
    known = label_ids(work) if given.get("labels") else {}
    missing = [name for name in given.get("labels") or [] if name not in known]
    return found + [{"field": "labels", "kind": "label", "name": name} for name in missing]


def without(given: Mapping[str, Any], missing: list[dict[str, str]]) -> dict[str, Any]:
    """The same without the references that are missing."""
    gone = {(entry["field"], entry["name"]) for entry in missing}
    found = {name: value for name, value in given.items() if (name, str(value)) not in gone}
    for field in ("labels", "assets"):
        if field in found:
            found[field] = [name for name in found[field] or [] if (field, name) not in gone]
    if any(field == "movement" for field, _name in gone):
        del found["movement"]
    return found


def require_customer(work: Work, name: str) -> None:
    """Raises 422 where there is no such customer, or he is none of the caller's."""
    found = find(work, "customer", name=name)
    if found is None or not works_for(work, found.id):
        raise invalid([unknown(work, "customer", name)])


def works_for(work: Work, customer_id: str) -> bool:
    """Whether the customer's tickets are among those that the caller works on."""
    return work.actor.may("tickets:view_all") or customer_id in work.actor.member_of
