"""Indexes for sorting tickets by deadline, priority and reminder, and for counting a person's by status.

Revision: 0012, after: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_DUE_AT = (
    "coalesce(CASE WHEN resolution_phase = 'running' THEN resolution_due_at END, '9999-12-31T00:00:00.000000+00:00')"
)


def upgrade() -> None:
    op.create_index("ix_tickets_assignee_status", "tickets", ["assignee_id", "status"])
    op.create_index("ix_tickets_reporter_status", "tickets", ["reporter_id", "status"])
    op.create_index("ix_tickets_priority", "tickets", ["priority", "id"])
    op.create_index("ix_tickets_status_priority", "tickets", ["status", "priority", "id"])
    op.create_index("ix_tickets_due_at", "tickets", [sa.text(f"({_DUE_AT})"), "id"])
    some = sa.text("remind_at IS NOT NULL")
    op.create_index("ix_tickets_remind_at", "tickets", ["remind_at", "id"], sqlite_where=some, postgresql_where=some)
