"""A server that asks for no second factor works on the database no more: a password alone would let people in there.

Revision: 0034, after: 0033
"""

from __future__ import annotations

from alembic import op

from deskplane.migrations.floor import raise_floor

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    raise_floor(op.get_bind(), "0032")
