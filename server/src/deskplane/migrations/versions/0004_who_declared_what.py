"""Who declared what of the configuration, and what was done to it.

Revision: 0004, after: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant, Json

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "managers",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.String(length=200), nullable=True),
        sa.Column("applied_at", Instant(), nullable=False),
        sa.Column("applied_by", sa.String(length=120), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_managers")),
    )
    op.create_table(
        "claims",
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("object_id", sa.String(length=36), nullable=False),
        sa.Column("manager", sa.String(length=200), nullable=False),
        sa.Column("owns", sa.Boolean(), nullable=False),
        sa.Column("key", Json(), nullable=False),
        sa.Column("declared", Json(), nullable=False),
        sa.ForeignKeyConstraint(["manager"], ["managers.name"], name=op.f("fk_claims_manager")),
        sa.PrimaryKeyConstraint("kind", "object_id", "manager", name=op.f("pk_claims")),
    )
    op.create_index("ix_claims_manager_kind", "claims", ["manager", "kind"])
    op.create_index(
        "uq_claims_owner",
        "claims",
        ["kind", "object_id"],
        unique=True,
        sqlite_where=sa.text("owns = 1"),
        postgresql_where=sa.text("owns"),
    )
    op.create_table(
        "renames",
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("object_id", sa.String(length=36), nullable=False),
        sa.Column("old_key", Json(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "object_id", name=op.f("pk_renames")),
    )
    op.create_table(
        "configuration_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("object_id", sa.String(length=36), nullable=False),
        sa.Column("key", Json(), nullable=False),
        sa.Column("action", sa.String(length=10), nullable=False),
        sa.Column("changes", Json(), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("username", sa.String(length=120), nullable=False),
        sa.Column("manager", sa.String(length=200), nullable=True),
        sa.Column("revision", sa.String(length=200), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_configuration_changes")),
    )
    op.create_index("ix_configuration_changes_kind_object_id", "configuration_changes", ["kind", "object_id"])
