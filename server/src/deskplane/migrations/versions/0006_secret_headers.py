"""Webhooks send headers that nobody is shown.

Revision: 0006, after: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("secret_headers", sa.Text(), nullable=True))
