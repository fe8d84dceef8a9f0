"""The history of the configuration becomes the audit log: chained, and with where changes came from.

Revision: 0028, after: 0027

What was written before moves there, chained in the order in which it was written. The table in which it stood is left
to the versions before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.orm import Session

from deskplane.audit.older import take_over
from deskplane.kernel.columns import Instant

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("object_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("username", sa.String(length=120), nullable=False),
        sa.Column("key_id", sa.String(length=12), nullable=True),
        sa.Column("address", sa.String(length=80), nullable=True),
        sa.Column("manager", sa.String(length=200), nullable=True),
        sa.Column("revision", sa.String(length=200), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_kind_object_id", "audit_entries", ["kind", "object_id"])
    with Session(op.get_bind(), join_transaction_mode="rollback_only") as session:
        take_over(session)
