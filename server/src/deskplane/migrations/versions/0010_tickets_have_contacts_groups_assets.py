"""Tickets have a contact, a group and assets.

Revision: 0010, after: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, to in (("group", "groups"), ("contact", "contacts")):
        target = sa.ForeignKey(f"{to}.id", name=op.f(f"fk_tickets_{name}_id"))
        op.add_column(
            "tickets", sa.Column(f"{name}_id", sa.String(length=36), target, nullable=True), inline_references=True
        )
        op.create_index(f"ix_tickets_{name}", "tickets", [f"{name}_id", "updated_at", "id"])
    op.create_table(
        "ticket_assets",
        sa.Column("ticket_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("asset_id", sa.String(length=36), nullable=False),
        sa.Column("moved_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_assets_ticket_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["asset_id"], ["assets.id"], name=op.f("fk_ticket_assets_asset_id")),
        sa.PrimaryKeyConstraint("ticket_id", "asset_id", name=op.f("pk_ticket_assets")),
    )
    op.create_index("ix_ticket_assets_asset", "ticket_assets", ["asset_id", "ticket_id"])
