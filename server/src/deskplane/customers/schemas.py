"""The kind `customer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marshmallow import Schema
from sqlalchemy import ColumnElement, or_

from deskplane.customers.models import Customer
from deskplane.kernel.actor import Actor
from deskplane.kernel.compound import Group
from deskplane.kernel.fields import Flag, Name, Ref, Text, Whole
from deskplane.kernel.kind import Kind

PREFIX: dict[str, Any] = {
    "longest": 10,
    "pattern": "[A-Z][A-Z0-9]{0,9}",
    "pattern_hint": "must be 1 to 10 capital letters and digits, beginning with a letter, such as ACME",
}


class CustomerFeatures(Schema):
    """What is switched on for a customer."""

    agent_portal = Flag("Whether the customer's members work on its tickets, by console or key.", default=True)
    end_user_portal = Flag("Whether the customer's people see and open their tickets in the portal.", default=True)
    asset_integration = Flag("Whether tickets link to the customer's assets.", default=True)
    email_notifications = Flag("Whether the customer's people get mail about their tickets.", default=True)
    email_templates = Flag("Whether the customer has mail templates of its own.", default=False)
    public_api = Flag("Whether the customer's keys may use the public ticket API.", default=False)
    movement_link = Flag("Whether a ticket can point at a movement of an asset.", default=False)


class CustomerQuotas(Schema):
    """How much a customer may use."""

    max_agents = Whole(
        "How many active members with the permission tickets:edit there may be; one more is refused; null for no limit."
    )
    max_emails_month = Whole("How many notification mails a calendar month; null for no limit.")


class CustomerSchema(Schema):
    """A company that tickets are about."""

    name = Name("Name of the customer; it identifies the customer.")
    address = Text("Postal address.", longest=2000, block=True, default="")
    notes = Text("Notes for the people who work with the customer.", longest=20_000, block=True, default="")
    number_prefix = Text("Prefix of the numbers of this customer's tickets, instead of the global one.", **PREFIX)
    sla_policy = Ref(
        "Service level policy of this customer's tickets, where it covers their priority.",
        "sla_policy",
        on_delete="clear",
    )
    features = Group("Which features the customer has; needs the permission customers:entitle.", CustomerFeatures)
    quotas = Group("How much the customer may use; needs the permission customers:entitle.", CustomerQuotas)


def of_customer(column: Any, *, common: bool = False) -> Callable[[Actor], ColumnElement[bool] | None]:
    """The condition under which a caller sees what belongs to the customer in that column: everyone sees the customers
    that he is a member of; who sees all tickets, or manages customers, sees them all. `common` says that what belongs
    to no customer is seen by all."""

    def visible(actor: Actor) -> ColumnElement[bool] | None:
        if any(actor.may(permission) for permission in ("customers:manage", "tickets:view_all", "configuration:plan")):
            return None
        found: ColumnElement[bool] = column.in_(sorted(actor.sees_customers))
        return or_(found, column.is_(None)) if common else found

    return visible


CUSTOMER = Kind(
    name="customer",
    plural="customers",
    title="customer",
    model=Customer,
    schema=CustomerSchema,
    key=("name",),
    permission="customers:manage",
    field_permissions={"features": "customers:entitle", "quotas": "customers:entitle"},
    cascades=True,
    visible=of_customer(Customer.id),
    short_description="Manage customers",
    description=[
        "A customer is the company that a ticket is about, and the boundary of isolation: who is no member of a "
        "customer does not see its tickets.",
    ],
    notes=["A customer that something depends on is deleted only with O(cascade=true); its tickets stay."],
    examples=[
        {
            "name": "A customer with ticket numbers of its own",
            "options": {"name": "ACME", "number_prefix": "ACME", "sla_policy": "critical-30m", "state": "present"},
        },
        {
            "name": "Remove a customer and all that hangs on it",
            "options": {"name": "Gone Ltd", "state": "absent", "cascade": True},
        },
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a11",
        "name": "ACME",
        "address": "",
        "notes": "",
        "number_prefix": "ACME",
        "sla_policy": "critical-30m",
        "features": {
            "agent_portal": True,
            "end_user_portal": True,
            "asset_integration": True,
            "email_notifications": True,
            "email_templates": False,
            "public_api": False,
            "movement_link": False,
        },
        "quotas": {"max_agents": None, "max_emails_month": None},
    },
)
