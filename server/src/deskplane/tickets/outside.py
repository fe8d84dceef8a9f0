"""References: typed links from a ticket to something outside of the desk (domain: ticket)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, insert, select

from deskplane.kernel.problem import invalid_field, not_found
from deskplane.kernel.work import Work
from deskplane.tickets import links, service
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import TicketReference
from deskplane.tickets.schemas import MOST_REFERENCES as MOST

PARTS = ("type", "title", "url")


def of_ticket(work: Work, ticket_id: int) -> Sequence[TicketReference]:
    """The references of a ticket, oldest first."""
    statement = select(TicketReference).where(TicketReference.ticket_id == ticket_id).order_by(TicketReference.id)
    return work.session.execute(statement).scalars().all()


def shown(reference: TicketReference) -> dict[str, Any]:
    """As it is answered."""
    return {name: getattr(reference, name) for name in ("id", *PARTS, "author", "created_at")}


def _told(reference: TicketReference | Mapping[str, Any]) -> dict[str, Any]:
    """As history keeps it."""
    if isinstance(reference, TicketReference):
        return {name: getattr(reference, name) for name in PARTS}
    return {name: reference[name] for name in PARTS}


def add(work: Work, draft: Draft, given: Mapping[str, Any]) -> tuple[TicketReference, bool]:
    """Adds a reference to a ticket that is locked; answers it, and whether it is new: one of the same type and address
    stays as it is. Raises 422 where the ticket is final or has too many."""
    work.actor.need("tickets:edit")
    there = of_ticket(work, draft.columns["id"])
    same = next((one for one in there if (one.type, one.url) == (given["type"], given["url"])), None)
    if same is not None:
        return same, False
    links.require_not_final(work, draft)
    if len(there) >= MOST:
        raise invalid_field("url", "too_many", f"the ticket has {MOST} references, and may have no more")
    values = {**_told(given), "author": work.actor.username, "created_at": work.clock.now()}
    made = insert(TicketReference).values(ticket_id=draft.columns["id"], **values).returning(TicketReference)
    reference = work.session.execute(made).scalar_one()
    service.record(work, draft, [("reference", None, _told(reference))])
    return reference, True


def remove(work: Work, draft: Draft, reference_id: int) -> None:
    """Takes a reference away from a ticket that is locked. Raises 404."""
    work.actor.need("tickets:edit")
    there = next((one for one in of_ticket(work, draft.columns["id"]) if one.id == reference_id), None)
    if there is None:
        raise not_found()
    links.require_not_final(work, draft)
    told = _told(there)
    work.session.execute(delete(TicketReference).where(TicketReference.id == reference_id))
    service.record(work, draft, [("reference", told, None)])


def replace(work: Work, draft: Draft, wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Makes the references of a ticket those that are given; answers whether anything changed."""
    is_there = {tuple(_told(one).values()): one.id for one in of_ticket(work, draft.columns["id"])}
    named = {tuple(_told(one).values()): one for one in wanted}
    gone = [reference_id for key, reference_id in is_there.items() if key not in named]
    new = [one for key, one in named.items() if key not in is_there]
    for reference_id in gone:
        remove(work, draft, reference_id)
    for one in new:
        add(work, draft, one)
    return bool(gone or new)
