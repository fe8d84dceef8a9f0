"""Tickets have links to each other, and references to what is outside.

Revision: 0011, after: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _serial(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _of_ticket(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["tickets.id"], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "ticket_links",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        _serial("source_id"),
        _serial("target_id"),
        sa.Column("type", sa.String(length=20), nullable=False),
        _of_ticket("ticket_links", "source_id"),
        _of_ticket("ticket_links", "target_id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_links")),
        sa.UniqueConstraint("source_id", "target_id", "type", name=op.f("uq_ticket_links_source_id_target_id_type")),
    )
    op.create_index("ix_ticket_links_target", "ticket_links", ["target_id", "id"])
    condition = sa.text("type = 'parent_of'")
    op.create_index(
        "uq_ticket_links_parent",
        "ticket_links",
        ["target_id"],
        unique=True,
        sqlite_where=condition,
        postgresql_where=condition,
    )
    op.create_table(
        "ticket_references",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        _serial("ticket_id"),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("author", sa.String(length=120), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        _of_ticket("ticket_references", "ticket_id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_references")),
    )
    op.create_index("ix_ticket_references_ticket", "ticket_references", ["ticket_id", "id"])
