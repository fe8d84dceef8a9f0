"""Which user a contact is (domain: tenancy): the one of his mail address, if there is one and no other.

The address is verified by who set it: only those who manage users do, who could give the user a membership as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from deskplane.kernel.work import Work
from deskplane.people.models import User
from deskplane.tickets import references
from deskplane.tickets.draft import Draft


def _by_address(work: Work) -> dict[str, tuple[str, str]]:
    """Id and username of the user of each address that one user has, in lower case, and no other."""

    def load() -> dict[str, tuple[str, str]]:
        statement = select(User.id, User.username, User.email).where(
            User.email.is_not(None), User.enabled, User.deleted_at.is_(None)
        )
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for user_id, username, email in work.session.execute(statement):
            found[str(email).lower()].append((user_id, username))
        return {email: people[0] for email, people in found.items() if len(people) == 1}

    return work.keep("users by address", load)


def contact_of_caller(work: Work) -> references.Found | None:
    """The contact that the caller is."""
    addresses = work.keep(
        "addresses of users", lambda: {user_id: email for email, (user_id, _name) in _by_address(work).items()}
    )
    email = addresses.get(work.actor.user_id or "")
    return references.find(work, "contact", name=email) if email is not None else None


def as_himself(work: Work, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is given of a new ticket, with its contact where it is one who writes in, and names none. Those who answer
    for the desk open tickets for others."""
    if "contact" in given or (work.actor.may("tickets:comment") and work.actor.may("tickets:read_internal")):
        return given
    contact = contact_of_caller(work)
    if contact is None:
        return given
    if given.get("customer") is not None:
        customer = references.find(work, "customer", name=given["customer"])
        if customer is None or contact.customer_id not in (None, customer.id):
            return given
    return {**given, "contact": contact.name}


def set_reporter(work: Work, draft: Draft) -> None:
    """Who reported a ticket is its contact, as the user that he is; else who opened it."""
    creator = (draft.columns["created_by_id"], draft.names["created_by"])
    himself = _by_address(work).get(draft.names["contact"] or "")
    draft.columns["reporter_id"], draft.names["reporter"] = himself or creator
