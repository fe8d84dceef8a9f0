"""The switch `agent_portal` (domain: tenancy): without it, the customer's members work on no tickets of it."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from deskplane.customers.models import Customer


def closed_to_members(session: Session, customer_ids: frozenset[str]) -> frozenset[str]:
    """Those of the customers whose members work on no tickets of theirs, but by the public API."""
    if not customer_ids:
        return customer_ids
    rows = session.execute(select(Customer.id, Customer.features).where(Customer.id.in_(sorted(customer_ids))))
    return frozenset(row.id for row in rows if not row.features.get("agent_portal", True))
