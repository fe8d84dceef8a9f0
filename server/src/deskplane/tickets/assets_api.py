"""The other way: the tickets that an asset is in, `GET /assets/{id}/tickets`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from deskplane.customers.assets import ASSET
from deskplane.customers.models import Asset, Customer
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import Problem, not_found
from deskplane.tickets import lists
from deskplane.tickets.assets import has
from deskplane.tickets.schemas import TicketList


def listing(call: Call) -> Reply:
    """GET /assets/{id}/tickets"""
    statement = select(Asset.id, Customer.features).join(Customer, Customer.id == Asset.customer_id)
    statement = statement.where(Asset.id == call.path["id"])
    condition = ASSET.visible(call.actor) if ASSET.visible else None
    asset = call.session.execute(statement if condition is None else statement.where(condition)).first()
    if asset is None:
        raise not_found()
    if not has(asset.features, "asset_integration"):
        raise Problem(404, "feature_disabled", "the customer has asset_integration switched off")
    return lists.page(call, {**call.query, "asset_id": asset.id})


def operations(page: dict[str, Any]) -> Iterable[Operation]:
    """The operation; `page` is the schema of a page of tickets."""
    yield Operation(
        "list_asset_tickets",
        "GET",
        "/api/v1/assets/{id}/tickets",
        listing,
        "List the tickets that are about an asset",
        "tickets",
        permission=("tickets:access",),
        query=TicketList,
        answers={200: ("A page.", page)},
    )
