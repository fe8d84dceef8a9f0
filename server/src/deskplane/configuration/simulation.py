"""`POST /sla-policies/simulate`: what policies and calendars would have done to tickets that there were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema

from deskplane.configuration.documents import DeskDocuments
from deskplane.configuration.service import Reconciliation
from deskplane.configuration.troubles import Troubles
from deskplane.kernel.fields import Described, Text, Whole, refuse, type_name
from deskplane.kernel.kind import Registry
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.tickets import references, replay

PERMISSION = "sla:manage"
KINDS = ("sla_policies", "calendars")
MOST = 2000


class Objects(Described):
    """Objects as their kind's apply takes them. They are read with their places, like a whole desk's document."""

    json_type = "list"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise refuse("wrong_type", f"must be a list of objects, got {type_name(value)}")
        return value

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "object"}}


class SimulateBody(Schema):
    """What should be, and which tickets to look at."""

    sla_policies = Objects("Policies as C(POST /sla-policies/apply) takes them; the others stay as they are.")
    calendars = Objects("Calendars as C(POST /calendars/apply) takes them.")
    tickets = Whole("So many of the newest tickets.", least=1, most=MOST, default=1000)
    customer = Text("Only tickets of the customer with this name.", longest=120)


class Simulation:
    """The view. It is the apply itself and the recalculation, rolled back."""

    def __init__(self, registry: Registry) -> None:
        self.documents = DeskDocuments(registry)

    def simulate(self, call: Call) -> Reply:
        """POST /sla-policies/simulate"""
        body, troubles = call.body, Troubles()
        configuration = {kind: body[kind] for kind in KINDS if body.get(kind) is not None}
        documents, _kinds = self.documents.read(configuration, troubles)
        customer_id = None
        if body.get("customer") is not None:
            references.require_customer(call, body["customer"])
            found = references.find(call, "customer", name=body["customer"])
            customer_id = found.id if found else None
        tickets = replay.last_tickets(call, body.get("tickets") or 1000, customer_id)
        entries = Reconciliation(call, troubles=troubles).apply(documents)
        names = frozenset(entry.key[0] for entry in entries if entry.kind.name == "sla_policy")
        compared = replay.compare(call, tickets, names)
        return Reply(
            {
                "tickets": compared.tickets,
                "covered": compared.covered,
                "before": compared.before,
                "after": compared.after,
                "different": compared.different,
            }
        )


def _answer() -> dict[str, Any]:
    counts = {"type": "object", "properties": {outcome: {"type": "integer"} for outcome in replay.OUTCOMES}}
    clocks = {"type": "object", "properties": {"response": counts, "resolution": counts}}
    properties = {
        "tickets": {"type": "integer", "description": "So many tickets were looked at."},
        "covered": {"type": "integer", "description": "So many of them would have had one of these policies."},
        "before": {**clocks, "description": "What became of their clocks."},
        "after": {**clocks, "description": "What would have become of them."},
        "different": {
            "type": "array",
            "items": {"type": "object"},
            "description": f"Clocks that would have ended otherwise, at most {replay.MOST_TOLD}.",
        },
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def operation(registry: Registry) -> Iterable[Operation]:
    """The simulation."""
    yield Operation(
        "simulate_sla_policies",
        "POST",
        "/api/v1/sla-policies/simulate",
        Simulation(registry).simulate,
        "Say what policies and calendars would have done to the newest tickets",
        "sla_policies",
        permission=(PERMISSION,),
        dry=True,
        large=True,
        body=SimulateBody,
        partial=True,
        write=True,
        answers={200: ("Outcomes before and after.", _answer())},
        description="Nothing is changed. Each ticket is put under the policy that fits it, from its creation on, and "
        "taken through the statuses of its history at the moments when it had them.",
    )
