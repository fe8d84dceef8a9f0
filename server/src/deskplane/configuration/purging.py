"""Ends for good what a deletion keeps, so that nothing brings it back."""

from __future__ import annotations

from sqlalchemy import delete

from deskplane.configuration import history
from deskplane.configuration.models import Rename
from deskplane.configuration.store import Stored
from deskplane.kernel.kind import Kind
from deskplane.kernel.work import Work


def purge(work: Work, kind: Kind, stored: Stored) -> None:
    """Removes what was deleted softly, just now or earlier. Raises what the rules of a deletion raise."""
    for tell in (*work.registry.deleting[kind.name], *work.registry.purging[kind.name]):
        tell(work, [stored.id])
    work.change_configuration()
    work.session.execute(delete(Rename).where(Rename.kind == kind.name, Rename.object_id == stored.id))
    work.session.execute(delete(kind.model).where(kind.model.id == stored.id))
    history.note_purged(work, kind, stored.id, stored.state)
