"""The kind `contact`: a person who writes in."""

from __future__ import annotations

from marshmallow import Schema

from deskplane.customers.models import Contact, asset_contacts
from deskplane.customers.schemas import of_customer
from deskplane.kernel.compound import RefSet, SetOf
from deskplane.kernel.fields import Email, Ref, Text
from deskplane.kernel.kind import Kind
from deskplane.kernel.parts import Backlinks


class Address(Email):
    """A mail address in lower case: two that differ in case only reach the same person everywhere."""

    def canonical(self, text: str) -> str:
        return super().canonical(text).lower()


class ContactRef(Ref):
    """A contact's mail address, in whatever case."""

    def canonical(self, text: str) -> str:
        return text.lower()


class ContactSet(RefSet):
    """Contacts by their mail addresses."""

    def __init__(self, description: str) -> None:
        super().__init__(description, "contact")
        self.inner = ContactRef(description, "contact")


class ContactSchema(Schema):
    """A person who writes in."""

    email = Address("Mail address of the contact; it identifies the contact. Case makes no difference.", required=True)
    first_name = Text("First name.", longest=120, default="")
    last_name = Text("Last name.", longest=120, default="")
    phone = Text("Phone number.", longest=60)
    position = Text("Position or role at the customer.", longest=120, default="")
    customer = Ref("The customer for whom the contact writes.", "customer", on_delete="cascade")
    department = Ref(
        "Department of the tickets that the contact opens without naming one.", "department", on_delete="clear"
    )
    notes = Text("Notes for the people who work with the contact.", longest=20_000, block=True, default="")
    assets = SetOf(
        "Names of the assets that the contact uses. An asset lists its contacts.", Text("A name."), read_only=True
    )


KIM = {
    "email": "kim@acme.example",
    "first_name": "Kim",
    "last_name": "Lee",
    "phone": "+49 89 1234567",
    "position": "Office manager",
    "customer": "ACME",
}

CONTACT = Kind(
    name="contact",
    plural="contacts",
    title="contact",
    model=Contact,
    schema=ContactSchema,
    key=("email",),
    permission="customers:manage",
    parts={"assets": Backlinks("asset", asset_contacts, "contact_id", "asset_id")},
    visible=of_customer(Contact.customer_id),
    filters=("customer",),
    owned_by="customer",
    short_description="Manage contacts",
    description=["A contact is a person who writes in, mostly for a customer."],
    notes=[
        "Which assets a contact uses is written on the assets; a contact shows them.",
        "The owners of a customer manage its contacts without the permission C(customers:manage).",
    ],
    examples=[{"name": "Who writes for ACME", "options": {**KIM, "state": "present"}}],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a23",
        **KIM,
        "department": None,
        "notes": "",
        "assets": ["printer 4"],
    },
)
