"""Workflows: which status may follow which (domain: lifecycle), the two that come with Deskplane, and the kind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema
from sqlalchemy import select

from deskplane.desks.models import StoredWorkflow
from deskplane.kernel.compound import Items, SetOf
from deskplane.kernel.fields import Choice, Flag, Name, Text
from deskplane.kernel.kind import Check, Kind
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.problem import Problem
from deskplane.kernel.words import ENDED, STATUSES
from deskplane.kernel.work import Work

Step = tuple[str, str]


@dataclass(frozen=True)
class Workflow:
    """Statuses that may follow each status, those after which nothing changes any more, and what a step needs."""

    name: str
    transitions: Mapping[str, tuple[str, ...]]
    final: frozenset[str] = frozenset()
    permissions: Mapping[Step, str] = field(default_factory=dict)

    def following(self, status: str, may: Callable[[str], bool]) -> list[str]:
        """The statuses that may follow one, for a caller who has the permissions that `may` says."""
        return [
            after
            for after in self.transitions.get(status, ())
            if (status, after) not in self.permissions or may(self.permissions[status, after])
        ]

    def path(self, start: str, goal: str, may: Callable[[str], bool] = lambda permission: True) -> list[str] | None:
        """The shortest way from one status to another that the caller may go, without the start; None for none."""
        before: dict[str, str] = {}
        waiting = deque([start])
        while waiting:
            here = waiting.popleft()
            if here == goal:
                steps = []
                while here != start:
                    steps.append(here)
                    here = before[here]
                return steps[::-1]
            for after in self.following(here, may):
                if after != start and after not in before:
                    before[after] = here
                    waiting.append(after)
        return None


FREE = Workflow("free", {status: tuple(other for other in STATUSES if other != status) for status in STATUSES})

ITIL = Workflow(
    "itil",
    {
        "open": ("in_progress", "cancelled"),
        "in_progress": ("waiting", "resolved", "cancelled"),
        "waiting": ("in_progress", "cancelled"),
        "resolved": ("in_progress", "closed", "cancelled"),
    },
    final=frozenset({"closed", "cancelled"}),
)

SHIPPED: Mapping[str, tuple[str, Workflow]] = {
    "free": ("Any status may follow any.", FREE),
    "itil": ("Work goes forward step by step; what is closed or cancelled stays as it is.", ITIL),
}
"""Description and workflow of those that come with Deskplane."""


def workflow(work: Work, object_id: str | None, name: str) -> Workflow:
    """The workflow of that id, or of that name where the id is null; kept as long as the configuration stands."""
    by_id, by_name = work.keep("workflows", lambda: _load(work))
    return by_name[name] if object_id is None else by_id[object_id]


def _load(work: Work) -> tuple[dict[str, Workflow], dict[str, Workflow]]:
    """Every workflow by its id, and by its name."""
    rows = work.session.execute(select(StoredWorkflow)).scalars().all()
    by_id = {row.id: from_stored(row.name, row.transitions, row.final) for row in rows}
    return by_id, {found.name: found for found in by_id.values()}


def from_stored(name: str, transitions: Sequence[Mapping[str, Any]], final: Sequence[str]) -> Workflow:
    """A workflow from what its row holds."""
    following: dict[str, list[str]] = {}
    for step in sorted(transitions, key=lambda step: STATUSES.index(step["to"])):
        following.setdefault(step["from"], []).append(step["to"])
    return Workflow(
        name,
        {status: tuple(after) for status, after in following.items()},
        frozenset(final),
        {(step["from"], step["to"]): step["permission"] for step in transitions if step["permission"]},
    )


def to_stored(found: Workflow) -> tuple[list[dict[str, Any]], list[str]]:
    """Transitions and final statuses of a workflow, in the form of its row."""
    steps = [
        {"from": before, "to": after, "permission": found.permissions.get((before, after))}
        for before, following in found.transitions.items()
        for after in following
    ]
    return sorted(steps, key=lambda step: (step["from"], step["to"])), sorted(found.final)


Transition = Schema.from_dict(
    {
        "from": Choice("Status that a ticket is in.", STATUSES, required=True),
        "to": Choice("Status that may follow.", STATUSES, required=True),
        "permission": Choice(
            "Permission that the step needs, besides those that a change of status needs anyway; null for none.",
            tuple(PERMISSIONS),
        ),
    },
    name="Transition",
)


class WorkflowSchema(Schema):
    """Which status may follow which."""

    name = Name("Name of the workflow; it identifies the workflow.")
    description = Text("What the workflow is for.", longest=4000, block=True, default="")
    transitions = Items(
        "The steps that there are. A ticket begins as C(open).", Transition, named_by=("from", "to"), most=30
    )
    final = SetOf("Statuses after which nothing of a ticket changes any more.", Choice("A status.", ENDED))
    shipped = Flag(
        "Whether the workflow came with Deskplane; such a one can be neither changed nor deleted.",
        default=False,
        read_only=True,
    )


def check_workflow(found: Check) -> None:
    """What came with Deskplane stays as it is; a step leads elsewhere, and none leads out of a final status."""
    after = found.after
    if found.before is not None and found.before["shipped"]:
        for name in found.kind.written:
            if after[name] != found.before[name]:
                detail = f"the workflow {found.before['name']} came with Deskplane and stays as it is; declare another"
                found.refuse(name, "shipped", detail)
        return
    for step in after["transitions"]:
        if step["from"] == step["to"]:
            found.refuse("transitions", "not_allowed", f"the step from {step['from']} must lead to another status")
        elif step["from"] in after["final"]:
            found.refuse(
                "transitions", "not_allowed", f"{step['from']} is final, so that no step leads from it to {step['to']}"
            )
    made = from_stored(after["name"], after["transitions"], after["final"])
    if not any(made.path("open", status) for status in ENDED):
        found.warnings.append(f"the workflow {after['name']} has no way from open to {', '.join(ENDED)}")


def keep_shipped_workflows(work: Work, workflow_ids: Sequence[str]) -> None:
    """Refuses the deletion of a workflow that came with Deskplane."""
    statement = select(StoredWorkflow.name).where(StoredWorkflow.id.in_(workflow_ids), StoredWorkflow.shipped)
    name = work.session.execute(statement.order_by(StoredWorkflow.name).limit(1)).scalar_one_or_none()
    if name is not None:
        raise Problem(409, "shipped", f"the workflow {name} came with Deskplane and stays; leave it unused instead")


WORKFLOW = Kind(
    name="workflow",
    plural="workflows",
    title="workflow",
    model=StoredWorkflow,
    schema=WorkflowSchema,
    key=("name",),
    permission="workflows:manage",
    check=check_workflow,
    as_shipped=lambda state: bool(state["shipped"]),
    short_description="Manage workflows",
    description=[
        "A workflow says which status of a ticket may follow which. A department names its workflow, else the setting "
        "C(workflow.default) does.",
        "C(free) and C(itil) come with Deskplane: in C(free) any status may follow any; C(itil) goes from C(open) over "
        "C(in_progress) and C(waiting) to C(resolved) and C(closed), and C(closed) and C(cancelled) are final.",
    ],
    notes=[
        "What is to reach a status that is not one step away, as O(deskplane.helpdesk.ticket#module:state) may be, "
        "takes the shortest way that its caller may go.",
    ],
    examples=[
        {
            "name": "Changes that somebody approves before they are closed",
            "options": {
                "name": "approval",
                "transitions": [
                    {"from": "open", "to": "in_progress"},
                    {"from": "in_progress", "to": "resolved"},
                    {"from": "resolved", "to": "in_progress"},
                    {"from": "resolved", "to": "closed", "permission": "departments:manage"},
                    {"from": "open", "to": "cancelled"},
                ],
                "final": ["closed", "cancelled"],
                "state": "present",
            },
        }
    ],
    sample={
        "id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a21",
        "name": "approval",
        "description": "",
        "transitions": [
            {"from": "in_progress", "to": "resolved", "permission": None},
            {"from": "open", "to": "cancelled", "permission": None},
            {"from": "open", "to": "in_progress", "permission": None},
            {"from": "resolved", "to": "closed", "permission": "departments:manage"},
            {"from": "resolved", "to": "in_progress", "permission": None},
        ],
        "final": ["cancelled", "closed"],
        "shipped": False,
    },
)
