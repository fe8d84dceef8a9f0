"""What the owners of a customer manage by their membership, without a permission (domain: tenancy)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from deskplane.configuration.store import Stored
from deskplane.customers.models import Customer
from deskplane.kernel.kind import Kind
from deskplane.kernel.operation import Call
from deskplane.kernel.problem import FieldError, forbidden, invalid, pointer

BEYOND = ("manager", "revision", "adopt", "force", "renamed_from")
"""What an apply may say that is not the owners' affair: whose a field is, and names, by which others are found."""


def only_owns(call: Call, kind: Kind) -> bool:
    """Whether the caller was let through because he owns a customer, and for nothing else."""
    return kind.owned_by is not None and not call.actor.may(kind.permission)


def require_own(call: Call, kind: Kind, stored: Stored | None, given: Mapping[str, Any]) -> None:
    """Raises 403 where an object that is there is none of his, and 422 where it would not be his afterwards.

    What is there and not his is refused in the same words, whoever's it is. That it is there he learns: an address is
    one contact of the whole desk.
    """
    for name in BEYOND:
        if call.body.get(name):
            raise forbidden(kind.permission)
    assert kind.owned_by is not None
    owned = set(call.session.execute(select(Customer.name).where(Customer.id.in_(call.actor.owner_of))).scalars())
    if stored is not None and stored.state[kind.owned_by] not in owned:
        raise forbidden(kind.permission)
    customer = given.get(kind.owned_by, stored.state[kind.owned_by] if stored else None)
    if call.body.get("state") != "absent" and customer not in owned:
        detail = "must be a customer that you own"
        raise invalid([FieldError(pointer(kind.owned_by), "not_allowed", detail, sorted(owned))])
