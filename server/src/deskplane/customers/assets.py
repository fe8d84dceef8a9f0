"""The kind `asset`: a thing that belongs to a customer and that tickets can be about."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema
from sqlalchemy import or_, select

from deskplane.customers.contacts import ContactSet
from deskplane.customers.models import Asset, Contact, Customer, asset_contacts, asset_movements
from deskplane.customers.schemas import of_customer
from deskplane.kernel.compound import Items, TextMap
from deskplane.kernel.fields import Moment, Name, Ref, Text
from deskplane.kernel.kind import Kind, Links, Misfit, Unsettled
from deskplane.kernel.parts import Rows
from deskplane.kernel.work import Work

PLACE: dict[str, Any] = {"longest": 200}
MOST_NAMED = 100

Movement = Schema.from_dict(
    {
        "at": Moment("When the asset was moved; it identifies the movement.", required=True),
        "from": Text("Where it was; null for unknown.", **PLACE),
        "to": Text("Where it went.", required=True, shortest=1, **PLACE),
        "by": Text("Who moved it; null for unknown.", **PLACE),
        "note": Text("What there is to say about it.", longest=4000, block=True, default=""),
    },
    name="Movement",
)


class AssetSchema(Schema):
    """A thing that belongs to a customer."""

    name = Name("Name of the asset; it identifies the asset within its customer.")
    customer = Ref("Customer to whom the asset belongs.", "customer", on_delete="cascade", required=True)
    kind = Text("What sort of thing it is, such as V(printer).", longest=120, default="")
    serial = Text("Serial number.", default="", **PLACE)
    location = Text("Where it is.", default="", **PLACE)
    attributes = TextMap("What else there is to know about it, by name.")
    contacts = ContactSet("Mail addresses of the contacts who use it; they are the same customer's.")
    movements = Items("Where it was moved, and when.", Movement, named_by=("at",))


def require_one_customer(work: Work) -> None:
    """Refuses what would leave an asset with contacts of another customer than its own: whichever of them changed."""
    rows = work.session.execute(
        select(Asset.id, Asset.name, Customer.name, Contact.id, Contact.email)
        .join(asset_contacts, asset_contacts.c.asset_id == Asset.id)
        .join(Contact, Contact.id == asset_contacts.c.contact_id)
        .join(Customer, Customer.id == Asset.customer_id)
        .where(or_(Contact.customer_id.is_(None), Contact.customer_id != Asset.customer_id))
        .order_by(Customer.name, Asset.name, Contact.email)
        .limit(MOST_NAMED)
    )
    misfits = [
        Misfit(
            "other_customer",
            f"the asset {asset} is {customer}'s, and its contact {email} is not",
            [("asset", asset_id, "contacts"), ("contact", contact_id, "customer")],
        )
        for asset_id, asset, customer, contact_id, email in rows
    ]
    if misfits:
        raise Unsettled(misfits)


MOVEMENT = {"at": "2026-03-02T09:30:00Z", "from": "Munich, second floor", "to": "Munich, third floor", "by": "Kim Lee"}

ASSET = Kind(
    name="asset",
    plural="assets",
    title="asset",
    model=Asset,
    schema=AssetSchema,
    key=("customer", "name"),
    permission="customers:manage",
    parts={
        "contacts": Links("contact", asset_contacts, "asset_id", "contact_id"),
        "movements": Rows(asset_movements, "asset_id", ("at", "from", "to", "by", "note")),
    },
    visible=of_customer(Asset.customer_id),
    short_description="Manage assets",
    description=["An asset is a thing that belongs to a customer: a machine, a licence, a room."],
    examples=[
        {
            "name": "A printer and the two people who use it",
            "options": {
                "customer": "ACME",
                "name": "printer 4",
                "kind": "printer",
                "serial": "SN-4711",
                "location": "Munich, second floor",
                "attributes": {"model": "LaserJet 9", "warranty": "2027-06-30"},
                "contacts": ["kim@acme.example", "lou@acme.example"],
                "state": "present",
            },
        },
        {
            "name": "It was moved",
            "options": {
                "customer": "ACME",
                "name": "printer 4",
                "location": "Munich, third floor",
                "movements": [MOVEMENT],
                "state": "present",
            },
        },
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a24",
        "name": "printer 4",
        "customer": "ACME",
        "kind": "printer",
        "serial": "SN-4711",
        "location": "Munich, third floor",
        "attributes": {"model": "LaserJet 9", "warranty": "2027-06-30"},
        "contacts": ["kim@acme.example", "lou@acme.example"],
        "movements": [{**MOVEMENT, "note": ""}],
    },
)
