"""Periodic jobs that run in steps: how long one is kept, and how it failed.

Revision: 0018, after: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("schedules", sa.Column("leased_until", Instant(), nullable=True))
    op.add_column("schedules", sa.Column("last_error", sa.Text(), nullable=True))
