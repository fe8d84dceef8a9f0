"""Alerts: troubles that last until they are put right.

Revision: 0016, after: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("first_seen_at", Instant(), nullable=False),
        sa.Column("last_seen_at", Instant(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("cleared_at", Instant(), nullable=True),
        sa.Column("acknowledged_at", Instant(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=120), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    is_open = sa.text("cleared_at IS NULL")
    op.create_index(
        "uq_alerts_open", "alerts", ["kind", "key"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ix_alerts_first_seen_at", "alerts", ["first_seen_at", "id"])
