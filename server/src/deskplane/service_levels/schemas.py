"""The kind `sla_policy`."""

from __future__ import annotations

from marshmallow import Schema

from deskplane.kernel.compound import RefSet, SetOf
from deskplane.kernel.fields import Choice, Flag, Minutes, Name, Ref, Text, Whole
from deskplane.kernel.kind import Kind, Links
from deskplane.kernel.words import ENDED, PRIORITIES, STATUSES
from deskplane.service_levels.models import SlaPolicy, sla_policy_customers


class SlaPolicySchema(Schema):
    """What is promised for the tickets that it covers."""

    name = Name("Name of the policy; it identifies the policy.")
    description = Text("What the policy is for.", longest=4000, block=True, default="")
    enabled = Flag("Whether tickets get this policy.", default=True)
    position = Whole("Which of two policies that fit equally well is taken: the lower one.", default=100)
    response_minutes = Minutes("Time until the first answer is due; null for no promise.", least=1)
    resolution_minutes = Minutes("Time until the ticket must be resolved; null for no promise.", least=1)
    priorities = SetOf(
        "Declared priorities of tickets that the policy covers; empty for all.",
        Choice("A priority.", PRIORITIES),
    )
    customers = RefSet("Customers whose tickets the policy covers; empty for all.", "customer")
    priority_floor = Choice("The least priority that tickets under this policy count as.", PRIORITIES)
    calendar = Ref("Calendar whose working time counts; null for around the clock.", "calendar")
    pause_statuses = SetOf(
        "Statuses in which the clocks stand still; an empty list for none.",
        Choice("A status.", tuple(status for status in STATUSES if status not in ENDED)),
        default=["waiting"],
    )
    on_reopen = Choice(
        "What a reopened ticket's resolution clock does: C(continue) counts the time that it was resolved as a pause, "
        "C(restart) begins anew at the reopening, C(first_only) lets the first resolution stand.",
        ("continue", "restart", "first_only"),
        default="continue",
    )
    warn_minutes = Minutes("How long before a deadline its state becomes warning.", default=60)
    critical_minutes = Minutes("How long before a deadline its state becomes critical.", default=15)


SLA_POLICY = Kind(
    name="sla_policy",
    plural="sla_policies",
    title="service level policy",
    model=SlaPolicy,
    schema=SlaPolicySchema,
    key=("name",),
    permission="sla:manage",
    parts={"customers": Links("customer", sla_policy_customers, "sla_policy_id", "customer_id")},
    short_description="Manage service level policies",
    description=[
        "A policy promises a time until the first answer and until the resolution of the tickets that it covers.",
        "A ticket gets the policy that its customer names, if that covers the ticket's priority; else the one that "
        "lists its customer and priority, then its customer, then its priority, then a general one.",
    ],
    notes=[
        "Open tickets are matched anew after a policy changed; a dry run says how many.",
        "Of a pause only the part inside working time moves a deadline. A ticket keeps the pauses that it had when "
        "O(pause_statuses) change.",
    ],
    examples=[
        {
            "name": "Answer within 30 minutes what is critical",
            "options": {
                "name": "critical-30m",
                "response_minutes": "30m",
                "resolution_minutes": "4h",
                "priorities": ["critical"],
                "state": "present",
            },
        },
        {
            "name": "Resolve within two working days, and begin anew when a ticket comes back",
            "options": {
                "name": "standard",
                "resolution_minutes": "16h",
                "calendar": "office",
                "on_reopen": "restart",
                "state": "present",
            },
        },
        {"name": "Remove a policy", "options": {"name": "old-policy", "state": "absent"}},
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a12",
        "name": "critical-30m",
        "description": "",
        "enabled": True,
        "position": 100,
        "response_minutes": 30,
        "resolution_minutes": 240,
        "priorities": ["critical"],
        "customers": [],
        "priority_floor": None,
        "calendar": None,
        "pause_statuses": ["waiting"],
        "on_reopen": "continue",
        "warn_minutes": 60,
        "critical_minutes": 15,
    },
)
