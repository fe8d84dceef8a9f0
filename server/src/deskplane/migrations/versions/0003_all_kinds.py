"""All kinds: calendars, workflows, groups, contacts, assets, contracts, projects, templates; settings that are secrets.

Revision: 0003, after: 0002
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant, Json
from deskplane.kernel.ids import new_id

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATUSES = ("open", "in_progress", "waiting", "resolved", "closed", "cancelled")
WORKFLOWS: dict[str, tuple[str, Iterable[tuple[str, str]], list[str]]] = {
    "free": ("Any status may follow any.", itertools.permutations(STATUSES, 2), []),
    "itil": (
        "Work goes forward step by step; what is closed or cancelled stays as it is.",
        [
            ("open", "in_progress"),
            ("open", "cancelled"),
            ("in_progress", "waiting"),
            ("in_progress", "resolved"),
            ("in_progress", "cancelled"),
            ("waiting", "in_progress"),
            ("waiting", "cancelled"),
            ("resolved", "closed"),
            ("resolved", "in_progress"),
            ("resolved", "cancelled"),
        ],
        ["cancelled", "closed"],
    ),
}
"""Departments name them, so that they must be there before the foreign key is."""


def upgrade() -> None:
    _calendars()
    _workflows()
    _groups()
    _contacts_and_assets()
    _contracts_and_projects()
    _templates()
    op.add_column("settings", sa.Column("secret", sa.Text(), nullable=True))
    for table, column in (
        ("customers", "sla_policy_id"),
        ("users", "default_department_id"),
        ("users", "starred_customer_id"),
        ("webhooks", "department_id"),
    ):
        _index(table, column)


def _kind(name: str, *more: Any) -> None:
    """A table with the columns that the table of every kind has."""
    op.create_table(
        name,
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        *more,
    )


def _text(name: str, length: int | None = None, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=length) if length else sa.Text(), nullable=nullable)


def _json(name: str) -> sa.Column[Any]:
    return sa.Column(name, Json(), nullable=False)


def _points(table: str, column: str, to: str, on_delete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}"), ondelete=on_delete)


def _unique(table: str, column: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(column, name=op.f(f"uq_{table}_{column}"))


def _index(table: str, column: str) -> None:
    op.create_index(op.f(f"ix_{table}_{column}"), table, [column], unique=False)


def _links(name: str, owner: tuple[str, str], target: tuple[str, str], *more: Any) -> None:
    """A table of pairs: the columns and the tables that they point at."""
    pair = (owner, target)
    op.create_table(
        name,
        *[_text(column, 36) for column, _table in pair],
        *more,
        *[_points(name, column, table, "CASCADE") for column, table in pair],
        sa.PrimaryKeyConstraint(*[column for column, _table in pair], name=op.f(f"pk_{name}")),
    )
    _index(name, target[0])


def _refer(table: str, column: str, to: str) -> None:
    """A new column that points at another table. SQLite could add the constraint by itself only to a copy of the
    table, and would take along what points at the original."""
    target = sa.ForeignKey(f"{to}.id", name=op.f(f"fk_{table}_{column}"))
    op.add_column(table, sa.Column(column, sa.String(length=36), target, nullable=True), inline_references=True)
    _index(table, column)


def _calendars() -> None:
    _kind(
        "calendars",
        _text("name", 120),
        _text("description"),
        _text("time_zone", 64),
        _json("hours"),
        _json("holidays"),
        _unique("calendars", "name"),
    )
    _refer("sla_policies", "calendar_id", "calendars")
    op.add_column(
        "sla_policies", sa.Column("pause_statuses", Json(), nullable=False, server_default=sa.text("""'["waiting"]'"""))
    )
    op.add_column(
        "sla_policies", sa.Column("on_reopen", sa.String(length=20), nullable=False, server_default="continue")
    )


def _workflows() -> None:
    _kind(
        "workflows",
        _text("name", 120),
        _text("description"),
        _json("transitions"),
        _json("final"),
        sa.Column("shipped", sa.Boolean(), nullable=False),
        _unique("workflows", "name"),
    )
    now = datetime.now(UTC)
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in ("id", "version", "name", "description")]
    columns += [sa.column("transitions", Json), sa.column("final", Json), sa.column("shipped", sa.Boolean)]
    columns += [sa.column("created_at", Instant), sa.column("updated_at", Instant)]
    op.bulk_insert(
        sa.table("workflows", *columns),
        [
            {
                "id": new_id(),
                "version": 1,
                "name": name,
                "description": description,
                "transitions": [{"from": step[0], "to": step[1], "permission": None} for step in sorted(steps)],
                "final": final,
                "shipped": True,
                "created_at": now,
                "updated_at": now,
            }
            for name, (description, steps, final) in WORKFLOWS.items()
        ],
    )
    _refer("departments", "workflow_id", "workflows")
    op.execute(
        "UPDATE departments SET workflow_id = (SELECT id FROM workflows WHERE workflows.name = departments.workflow)"
    )
    op.drop_column("departments", "workflow")


def _groups() -> None:
    _kind("groups", _text("name", 120), _text("description"), _unique("groups", "name"))
    _links("group_members", ("group_id", "groups"), ("user_id", "users"))
    _links("group_roles", ("group_id", "groups"), ("role_id", "roles"))
    _links("group_memberships", ("group_id", "groups"), ("customer_id", "customers"), _text("role", 20))


def _contacts_and_assets() -> None:
    _kind(
        "contacts",
        _text("email", 254),
        _text("first_name", 120),
        _text("last_name", 120),
        _text("phone", 60, nullable=True),
        _text("position", 120),
        _text("customer_id", 36, nullable=True),
        _text("department_id", 36, nullable=True),
        _text("notes"),
        _points("contacts", "customer_id", "customers"),
        _points("contacts", "department_id", "departments", "SET NULL"),
        _unique("contacts", "email"),
    )
    _index("contacts", "customer_id")
    _index("contacts", "department_id")
    _kind(
        "assets",
        _text("name", 120),
        _text("customer_id", 36),
        _text("kind", 120),
        _text("serial", 200),
        _text("location", 200),
        _json("attributes"),
        _points("assets", "customer_id", "customers"),
    )
    op.create_index("uq_assets_customer_name", "assets", ["customer_id", "name"], unique=True)
    _links("asset_contacts", ("asset_id", "assets"), ("contact_id", "contacts"))
    op.create_table(
        "asset_movements",
        _text("asset_id", 36),
        sa.Column("at", Instant(), nullable=False),
        _text("from", 200, nullable=True),
        _text("to", 200),
        _text("by", 200, nullable=True),
        _text("note"),
        _points("asset_movements", "asset_id", "assets", "CASCADE"),
        sa.PrimaryKeyConstraint("asset_id", "at", name=op.f("pk_asset_movements")),
    )


def _contracts_and_projects() -> None:
    _kind(
        "contracts",
        _text("name", 120),
        _text("customer_id", 36),
        _text("hourly_rate", 20),
        _text("currency", 3),
        _json("slots"),
        _points("contracts", "customer_id", "customers"),
    )
    op.create_index("uq_contracts_customer_name", "contracts", ["customer_id", "name"], unique=True)
    _kind(
        "projects",
        _text("name", 120),
        _text("customer_id", 36, nullable=True),
        _text("description"),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        _points("projects", "customer_id", "customers"),
    )
    _index("projects", "customer_id")
    _one_each("projects", "uq_projects_customer_name", "name")


def _templates() -> None:
    body = (_text("subject", 500), _text("body_html"), _text("body_text"))
    _kind(
        "templates",
        _text("name", 120),
        _text("type", 20),
        *body,
        _text("author_id", 36, nullable=True),
        _points("templates", "author_id", "users", "SET NULL"),
        _unique("templates", "name"),
    )
    _index("templates", "author_id")
    body = (_text("subject", 500), _text("body_html"), _text("body_text"))
    _kind(
        "email_templates",
        _text("customer_id", 36, nullable=True),
        _text("event", 40),
        *body,
        _points("email_templates", "customer_id", "customers"),
    )
    _index("email_templates", "customer_id")
    _one_each("email_templates", "uq_email_templates_customer_event", "event")


def _one_each(table: str, name: str, column: str) -> None:
    """One of each for a customer, and one for all: null counts as a value."""
    op.create_index(name, table, [sa.text("coalesce(customer_id, '')"), column], unique=True)
