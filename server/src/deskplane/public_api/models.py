"""Tables of the room."""

from __future__ import annotations

from sqlalchemy import Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base


class Window(Base):
    """Where the version before counted; since migration 0027 `kernel/limits.py` does. To be dropped by a migration
    that raises the floor to 0027 (CONTRIBUTING.md, "Add a migration")."""

    __tablename__ = "public_api_windows"

    key_id: Mapped[str] = mapped_column(String(12), primary_key=True)
    minute: Mapped[int] = mapped_column(Integer)
    requests: Mapped[int] = mapped_column(Integer)


class Usage(Base):
    """How many requests a key made on a day (UTC). Its user is named, since both may be gone later."""

    __tablename__ = "public_api_usage"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(12), primary_key=True)
    username: Mapped[str] = mapped_column(String(120))
    requests: Mapped[int] = mapped_column(Integer)
    refused: Mapped[int] = mapped_column(Integer)
