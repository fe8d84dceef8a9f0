"""The kind `project`: what time is booked on, of one customer or of all."""

from __future__ import annotations

from collections.abc import Sequence

from marshmallow import Schema
from sqlalchemy import select

from deskplane.customers.models import Project
from deskplane.customers.schemas import of_customer
from deskplane.kernel.fields import Flag, Name, Ref, Text
from deskplane.kernel.kind import Check, Kind
from deskplane.kernel.problem import forbidden
from deskplane.kernel.work import Work

COMMON = "settings:manage"
"""What a project of all customers needs besides: it is everyone's, as a setting is."""


class ProjectSchema(Schema):
    """What time is booked on."""

    name = Name("Name of the project; it identifies the project within its customer, or among those of all.")
    customer = Ref("Customer whose project it is; null for one of all customers.", "customer", on_delete="cascade")
    description = Text("What the project is for.", longest=4000, block=True, default="")
    enabled = Flag("Whether time can be booked on it.", default=True)


def check_project(found: Check) -> None:
    """Who may manage customers and nothing else leaves the projects of all customers as they are."""
    if found.after == found.before or found.work.actor.may(COMMON):
        return
    if found.after["customer"] is None or (found.before is not None and found.before["customer"] is None):
        detail = f"a project of all customers needs the permission {COMMON}; give its customer"
        found.refuse("customer", "beyond_yours", detail)


def keep_common_projects(work: Work, project_ids: Sequence[str]) -> None:
    """Refuses the deletion of a project of all customers to who may not make one."""
    statement = select(Project.id).where(Project.id.in_(project_ids), Project.customer_id.is_(None)).limit(1)
    if not work.actor.may(COMMON) and work.session.execute(statement).first() is not None:
        raise forbidden(COMMON)


MOVE = {"customer": "ACME", "name": "new building", "description": "Move of the office in autumn"}

PROJECT = Kind(
    name="project",
    plural="projects",
    title="project",
    model=Project,
    schema=ProjectSchema,
    key=("customer", "name"),
    permission="customers:manage",
    visible=of_customer(Project.customer_id, common=True),
    check=check_project,
    short_description="Manage projects",
    description=["A project is what working time is booked on: of one customer, or, without one, of all."],
    notes=[
        f"A project of all customers also needs the permission C({COMMON}).",
        "Booking time is not part of this version: the configuration is kept and checked.",
    ],
    examples=[
        {"name": "A project of one customer", "options": {**MOVE, "state": "present"}},
        {"name": "One on which the time of all customers can be booked", "options": {"name": "training"}},
    ],
    sample={"id": "019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a28", **MOVE, "enabled": True},
)
