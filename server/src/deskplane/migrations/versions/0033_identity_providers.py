"""People log in with identity providers.

Revision: 0033, after: 0032
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant, Json

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def _text(name: str, length: int, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=length), nullable=nullable)


def _points(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name, ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "oidc_providers",
        _text("name", 30),
        _text("title", 120),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        _text("issuer", 500),
        _text("client_id", 200),
        sa.Column("client_secret", sa.Text(), nullable=True),
        sa.Column("scopes", Json(), nullable=False),
        sa.Column("claims", Json(), nullable=False),
        sa.Column("create_users", sa.Boolean(), nullable=False),
        sa.Column("link_by_email", sa.Boolean(), nullable=False),
        sa.Column("required_amr", Json(), nullable=False),
        _text("id", 36),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oidc_providers")),
        sa.UniqueConstraint("name", name=op.f("uq_oidc_providers_name")),
    )
    op.create_table(
        "oidc_group_roles",
        _text("provider_id", 36),
        _text("group", 200),
        _text("role_id", 36),
        _points("oidc_group_roles", "provider_id", "oidc_providers"),
        _points("oidc_group_roles", "role_id", "roles"),
        sa.PrimaryKeyConstraint("provider_id", "group", "role_id", name=op.f("pk_oidc_group_roles")),
    )
    op.create_index("ix_oidc_group_roles_role_id", "oidc_group_roles", ["role_id"])
    op.create_table(
        "oidc_identities",
        _text("issuer", 500),
        _text("subject", 255),
        _text("user_id", 36),
        sa.Column("linked_at", Instant(), nullable=False),
        _points("oidc_identities", "user_id", "users"),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_oidc_identities")),
    )
    op.create_index("ix_oidc_identities_user_id", "oidc_identities", ["user_id"])
    op.create_table(
        "oidc_grants",
        _text("user_id", 36),
        _text("provider_id", 36),
        _text("role_id", 36),
        _points("oidc_grants", "user_id", "users"),
        _points("oidc_grants", "provider_id", "oidc_providers"),
        _points("oidc_grants", "role_id", "roles"),
        sa.PrimaryKeyConstraint("user_id", "provider_id", "role_id", name=op.f("pk_oidc_grants")),
    )
    op.create_index("ix_oidc_grants_provider_id", "oidc_grants", ["provider_id"])
    op.create_index("ix_oidc_grants_role_id", "oidc_grants", ["role_id"])
