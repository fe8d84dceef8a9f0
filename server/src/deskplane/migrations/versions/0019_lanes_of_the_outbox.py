"""Lanes of the outbox: of one lane one message at most is in a worker's hands.

Revision: 0019, after: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("lane", sa.String(length=80), nullable=True))
    op.drop_index("ix_outbox_due", "outbox")
    op.create_index("ix_outbox_due", "outbox", ["lane", "available_at", "id"])
    leased = sa.text("lease_owner IS NOT NULL")
    op.create_index("ix_outbox_leased", "outbox", ["lane"], sqlite_where=leased, postgresql_where=leased)
