"""An API key's secret before works along for a while when it gets a new one.

Revision: 0030, after: 0029
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("secret_set_at", Instant(), nullable=True))
    op.add_column("api_keys", sa.Column("previous_hash", sa.String(length=64), nullable=True))
    op.add_column("api_keys", sa.Column("previous_until", Instant(), nullable=True))
