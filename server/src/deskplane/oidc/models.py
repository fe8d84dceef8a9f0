"""Tables of the room."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, ForeignKey, String, Table, Text
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Instant, Json, KindRow

LONGEST_ISSUER = 500
LONGEST_SUBJECT = 255
"""Characters of the claim `sub` (OpenID Connect Core, 2)."""


class OidcProvider(KindRow, Base):
    """An identity provider with which people log in."""

    __tablename__ = "oidc_providers"

    name: Mapped[str] = mapped_column(String(30), unique=True)
    title: Mapped[str] = mapped_column(String(120))
    enabled: Mapped[bool] = mapped_column(Boolean)
    issuer: Mapped[str] = mapped_column(String(LONGEST_ISSUER))
    client_id: Mapped[str] = mapped_column(String(200))
    client_secret: Mapped[str | None] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(Json)
    claims: Mapped[dict[str, Any]] = mapped_column(Json)
    create_users: Mapped[bool] = mapped_column(Boolean)
    link_by_email: Mapped[bool] = mapped_column(Boolean)
    required_amr: Mapped[list[str]] = mapped_column(Json)


oidc_group_roles = Table(
    "oidc_group_roles",
    Base.metadata,
    Column("provider_id", ForeignKey("oidc_providers.id", ondelete="CASCADE"), primary_key=True),
    Column("group", String(200), primary_key=True),
    Column("role_id", ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True),
)
"""Which groups of a provider have which roles here."""


class OidcIdentity(Base):
    """Who somebody is at a provider, by whatever way of the desk he came from there: the pair of issuer and subject is
    all that stays the same."""

    __tablename__ = "oidc_identities"

    issuer: Mapped[str] = mapped_column(String(LONGEST_ISSUER), primary_key=True)
    subject: Mapped[str] = mapped_column(String(LONGEST_SUBJECT), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    linked_at: Mapped[datetime] = mapped_column(Instant)


class OidcGrant(Base):
    """A role that a user has because of his groups at a provider, and loses with them."""

    __tablename__ = "oidc_grants"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    provider_id: Mapped[str] = mapped_column(
        ForeignKey("oidc_providers.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role_id: Mapped[str] = mapped_column(ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True, index=True)
