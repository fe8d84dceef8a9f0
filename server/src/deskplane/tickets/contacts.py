"""The contact of a ticket: who wrote in (domain: tenancy). A ticket names him by his mail address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import insert

from deskplane.customers.models import Contact
from deskplane.kernel.ids import new_id
from deskplane.kernel.problem import FieldError, pointer
from deskplane.kernel.work import Work
from deskplane.tickets import linked, references
from deskplane.tickets.draft import Draft


def set_contact(work: Work, draft: Draft, given: Mapping[str, Any], errors: list[FieldError]) -> None:
    """Takes the contact over; where none is named, his customer becomes the ticket's. An address that nobody has stays
    without an id until `make_missing`."""
    if "contact" in given:
        email = given["contact"]
        found = references.find(work, "contact", name=email) if email is not None else None
        may_be_named = _is_reachable(work, found) if found is not None else _may_make(work, draft)
        if email not in (None, draft.names["contact"]) and not may_be_named:
            errors.append(_not_to_be_named(work, draft, email))
            return
        draft.columns["contact_id"] = found.id if found else None
        draft.names["contact"] = email
    contact = _of(work, draft)
    if contact is None or contact.customer_id is None:
        return
    if draft.columns["customer_id"] is None and "contact" in given and "customer" not in given:
        customer = references.find(work, "customer", object_id=contact.customer_id)
        draft.columns["customer_id"] = contact.customer_id
        draft.names["customer"] = customer.name if customer else None
    if {"contact", "customer"} & set(given) and draft.columns["customer_id"] not in (None, contact.customer_id):
        field = "contact" if "contact" in given else "customer"
        detail = f"the contact {contact.name} is another customer's than the ticket"
        errors.append(FieldError(pointer(field), "other_customer", detail))


def _is_reachable(work: Work, contact: references.Found) -> bool:
    if contact.customer_id is None or references.works_for(work, contact.customer_id):
        return True
    himself = linked.contact_of_caller(work)
    return himself is not None and himself.id == contact.id


def _may_make(work: Work, draft: Draft) -> bool:
    """Whether an address that nobody has makes the contact: for whoever works on tickets, since people call who never
    did, or owns the ticket's customer. Requesters are told the same of every address but their own: what somebody else
    is a contact of is not theirs to find out. An agent may learn that an address is taken, and not by whom."""
    return work.actor.may("tickets:edit") or draft.columns["customer_id"] in work.actor.owner_of


def _not_to_be_named(work: Work, draft: Draft, email: str) -> FieldError:
    """One error for an address that nobody has, and for a foreign customer's contact."""
    error = references.unknown(work, "contact", email)
    if _may_make(work, draft):
        return error
    return replace(error, detail=f"{error.detail}; who works on tickets, or owns the customer, can make it")


def _of(work: Work, draft: Draft) -> references.Found | None:
    contact_id = draft.columns["contact_id"]
    return references.find(work, "contact", object_id=contact_id) if contact_id else None


def customer_of(work: Work, given: Mapping[str, Any]) -> str | None:
    """The name of the customer that the contact gives a ticket of which none is named; None where he gives none."""
    if "customer" in given or given.get("contact") is None:
        return None
    contact = references.find(work, "contact", name=given["contact"])
    if contact is None or contact.customer_id is None or not _is_reachable(work, contact):
        return None
    customer = references.find(work, "customer", object_id=contact.customer_id)
    return customer.name if customer else None


def department_of(work: Work, draft: Draft) -> references.Found | None:
    """The department of the tickets that the contact opens."""
    contact = _of(work, draft)
    named = contact.department_id if contact else None
    return references.find(work, "department", object_id=named) if named else None


def make_missing(work: Work, draft: Draft) -> None:
    """Makes the contact where the ticket names an address that nobody has, with the ticket's customer and department.
    Two at once meet at a unique index; the second is run anew and finds the contact."""
    email = draft.names["contact"]
    if email is None or draft.columns["contact_id"] is not None:
        return
    work.change_configuration()
    now = work.clock.now()
    texts = dict.fromkeys(("first_name", "last_name", "position", "notes"), "")
    row: dict[str, Any] = {"id": new_id(), "version": 1, "email": email, **texts, "created_at": now, "updated_at": now}
    row |= {name: draft.columns[name] for name in ("customer_id", "department_id")}
    work.session.execute(insert(Contact).values(**row))
    draft.columns["contact_id"] = row["id"]
    kind = work.registry["contact"]
    state: dict[str, Any] = {name: part.initial() for name, part in kind.fields.items()}
    state |= {"email": email, "customer": draft.names["customer"], "department": draft.names["department"]}
    for tell in work.registry.made:
        tell(work, kind, row["id"], state)
