"""Tickets on which the desk wrote last, and mails by the address that they went to.

Revision: 0022, after: 0021
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_SILENT = sa.text("last_contact_direction = 'outbound' AND status NOT IN ('resolved', 'closed', 'cancelled')")


def upgrade() -> None:
    op.create_index(
        "ix_tickets_silent",
        "tickets",
        ["department_id", "last_contact_at", "id"],
        sqlite_where=_SILENT,
        postgresql_where=_SILENT,
    )
    op.drop_index("ix_mails_recipient", "mails")
    op.create_index("ix_mails_recipient", "mails", [sa.text("lower(recipient)"), "created_at"])
