"""The kind `contract`: what a customer's hours cost (domain: time and money)."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError

from deskplane.customers.currencies import Currency
from deskplane.customers.models import Contract
from deskplane.kernel.compound import Items, SetOf
from deskplane.kernel.exact import DAY_MINUTES, Amount, TimeOfDay, minutes_of_day
from deskplane.kernel.fields import Choice, Coded, Name, Ref, Text, Whole, refuse
from deskplane.kernel.kind import Kind

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MEANT = {"all": DAYS, "weekdays": DAYS[:5], "weekends": DAYS[5:]}
WEEK = 7 * DAY_MINUTES


class Days(SetOf):
    """Days of the week, in their order."""

    def collect(self, items: list[Any]) -> list[Any]:
        named = {day for item in items for day in MEANT.get(item, (item,))}
        if not named:
            raise refuse("too_short", "must name a day, or all, weekdays or weekends")
        return [day for day in DAYS if day in named]


Slot = Schema.from_dict(
    {
        "label": Text("Name of the slot; it identifies the slot.", required=True, shortest=1, longest=120),
        "from": TimeOfDay("When it begins, such as V(19:00).", required=True),
        "to": TimeOfDay("When it ends, such as V(07:00); V(24:00) is midnight.", midnight_ends=True, required=True),
        "days": Days(
            "Days on which it begins. V(weekdays), V(weekends) and V(all) are taken too.",
            Choice("A day.", (*DAYS, *MEANT)),
            default=list(DAYS),
        ),
        "ends_after_days": Whole("How many days later it ends; 0 for the same day.", most=7, default=0),
        "factor": Amount("What the rate is multiplied by; null for 1.", whole_digits=4),
        "rate": Amount("Price of an hour in the slot; null for the contract's."),
    },
    name="Slot",
)


class Slots(Items):
    """Slots, each of which ends after it begins, within a week."""

    def __init__(self, description: str) -> None:
        super().__init__(description, Slot, named_by=("label",), most=100)

    def collect(self, items: list[Any]) -> list[Any]:
        found = super().collect(items)
        place = {item["label"]: index for index, item in enumerate(items)}
        errors: dict[int, Any] = {}
        for slot in found:
            length = minutes_of_day(slot["to"]) - minutes_of_day(slot["from"]) + slot["ends_after_days"] * DAY_MINUTES
            if length <= 0:
                detail = f"must come after {slot['from']}; what ends on the next day has ends_after_days 1"
                errors[place[slot["label"]]] = {"to": [Coded(detail, "out_of_range")]}
            elif length > WEEK:
                errors[place[slot["label"]]] = {"ends_after_days": [Coded("must end within a week", "out_of_range")]}
        if errors:
            raise ValidationError(errors)
        return found


class ContractSchema(Schema):
    """What a customer's hours cost."""

    name = Name("Name of the contract; it identifies the contract within its customer.")
    customer = Ref("Customer whose hours it prices.", "customer", on_delete="cascade", required=True)
    hourly_rate = Amount("Price of an hour, as a decimal number such as V('95.50').", required=True)
    currency = Currency("Currency of all prices, as its ISO 4217 code such as V(EUR).", required=True)
    slots = Slots(
        "Times with prices of their own, on the wall. With a factor and a rate, the rate is multiplied; with a factor "
        "alone, the contract's rate is."
    )


NIGHT = {"from": "19:00", "to": "07:00", "days": list(DAYS[:4]), "ends_after_days": 1, "factor": "1.5"}
WEEKEND = {"from": "19:00", "to": "07:00", "days": ["friday"], "ends_after_days": 3, "factor": "2"}

CONTRACT = Kind(
    name="contract",
    plural="contracts",
    title="contract",
    model=Contract,
    schema=ContractSchema,
    key=("customer", "name"),
    permission="customers:manage",
    readers=(),
    short_description="Manage contracts",
    description=["A contract says what an hour of work for a customer costs, and when it costs something else."],
    notes=[
        "Prices and factors are exact decimal numbers. They are answered as text, so that no program makes binary "
        "fractions of them.",
        "Prices of booked time are not part of this version: the configuration is kept and checked.",
    ],
    examples=[
        {
            "name": "Half as much again at night, twice as much on weekends",
            "options": {
                "customer": "ACME",
                "name": "support 2026",
                "hourly_rate": "95.50",
                "currency": "EUR",
                "slots": [{"label": "night", **NIGHT}, {"label": "weekend", **WEEKEND}],
                "state": "present",
            },
        }
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a25",
        "name": "support 2026",
        "customer": "ACME",
        "hourly_rate": "95.5",
        "currency": "EUR",
        "slots": [{"label": "night", **NIGHT, "rate": None}, {"label": "weekend", **WEEKEND, "rate": None}],
    },
)
