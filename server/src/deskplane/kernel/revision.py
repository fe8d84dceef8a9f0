"""One number that every change of configuration or rights raises in its own transaction.

Each request reads it together with the caller's key. A process may keep what it derived from configuration for as
long as the number stands still; so a change acts at the next request in every process, and costs no one a query.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Integer, String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from deskplane.kernel.columns import Base

T = TypeVar("T")

CONFIGURATION = "configuration"
SERVICE_LEVELS = "service_levels"
MOST_KEPT = 20_000
NOTHING: Any = object()
"""What nothing was kept of; a kept value may be null."""


class Revision(Base):
    """The row `configuration`, and `service_levels`, which only those changes raise that move tickets' deadlines."""

    __tablename__ = "revisions"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)


def current(session: Session, name: str = CONFIGURATION) -> int:
    """The number as this transaction sees it."""
    return session.execute(select(Revision.number).where(Revision.name == name)).scalar_one()


def raise_revision(session: Session, name: str = CONFIGURATION) -> None:
    """Says that configuration or rights change in this transaction."""
    session.execute(update(Revision).where(Revision.name == name).values(number=Revision.number + 1))


class Kept:
    """What a process keeps of one revision."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._revision = -1
        self._values: dict[Any, Any] = {}

    def get(self, revision: int | None, name: Any, load: Callable[[], T]) -> T:
        """The kept value, or what `load` finds. A null revision (it changes in this transaction) keeps nothing."""
        found = self.find(revision, name)
        if found is not NOTHING:
            known: T = found
            return known
        value = load()
        self.note(revision, name, value)
        return value

    def find(self, revision: int | None, name: Any) -> Any:
        """The value that was kept at this revision, or `NOTHING`."""
        with self._lock:
            return self._values.get(name, NOTHING) if revision == self._revision else NOTHING

    def note(self, revision: int | None, name: Any, value: Any) -> None:
        """Keeps a value that was derived at this revision."""
        if revision is None:
            return
        with self._lock:
            if revision > self._revision or len(self._values) >= MOST_KEPT:
                self._revision, self._values = revision, {}
            if revision == self._revision:
                self._values[name] = value
