"""Saved views of tickets.

Revision: 0015, after: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant, Json

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ticket_views",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("filters", Json(), nullable=False),
        sa.Column("sort", sa.String(length=20), nullable=True),
        sa.Column("shared", sa.String(length=20), nullable=False),
        sa.Column("department_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_ticket_views_owner_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["department_id"], ["departments.id"], name=op.f("fk_ticket_views_department_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_views")),
        sa.UniqueConstraint("owner_id", "name", name=op.f("uq_ticket_views_owner_id_name")),
    )
    op.create_index(op.f("ix_ticket_views_department_id"), "ticket_views", ["department_id"])
