"""In which states the clocks of open tickets were when they were last counted.

Revision: 0023, after: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ticket_sla_counts",
        sa.Column("clock", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("clock", "state", name=op.f("pk_ticket_sla_counts")),
    )
