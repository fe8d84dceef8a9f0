"""Tables of the room: who declared what, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Instant, Json


class Manager(Base):
    """Someone who declares: a repository, a pipeline. `revision` is what it last applied (a commit)."""

    __tablename__ = "managers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    revision: Mapped[str | None] = mapped_column(String(200))
    applied_at: Mapped[datetime] = mapped_column(Instant)
    applied_by: Mapped[str] = mapped_column(String(120))


class Claim(Base):
    """What one manager declares of one object.

    `declared` maps the path of each field that it owns (`imap.port`) to the value that it declared, secrets sealed;
    `owns` says that the object itself is its own, so that it may prune it. `key` is the object's key as declared.
    No foreign key leads to the object: what was deleted by hand shows up as drift.
    """

    __tablename__ = "claims"
    __table_args__ = (
        Index("ix_claims_manager_kind", "manager", "kind"),
        Index(
            "uq_claims_owner",
            "kind",
            "object_id",
            unique=True,
            sqlite_where=text("owns = 1"),
            postgresql_where=text("owns"),
        ),
    )

    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    object_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    manager: Mapped[str] = mapped_column(ForeignKey("managers.name"), primary_key=True)
    owns: Mapped[bool] = mapped_column(Boolean)
    key: Mapped[list[Any]] = mapped_column(Json)
    declared: Mapped[dict[str, Any]] = mapped_column(Json)


class Rename(Base):
    """An object got its present name by a document that swaps or reuses names: applied again, it renames nothing."""

    __tablename__ = "renames"

    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    object_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    old_key: Mapped[list[Any]] = mapped_column(Json)
