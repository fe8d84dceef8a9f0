"""What a fresh desk begins with."""

from __future__ import annotations

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from deskplane.desks.models import Setting, StoredWorkflow
from deskplane.desks.settings import SETTINGS
from deskplane.desks.workflows import SHIPPED, to_stored
from deskplane.kernel.clock import Clock
from deskplane.kernel.ids import new_id


def ship_settings(session: Session, clock: Clock) -> bool:
    """Makes a row, with the default, for each setting that this version knows and the database does not; answers
    whether it wrote any."""
    there = set(session.execute(select(Setting.key)).scalars())
    now = clock.now()
    rows = [
        {"id": new_id(), "version": 1, "key": key, "value": part.initial(), "created_at": now, "updated_at": now}
        for key, part in SETTINGS.items()
        if key not in there
    ]
    if rows:
        session.execute(insert(Setting), rows)
    return bool(rows)


def ship_workflows(session: Session, clock: Clock) -> bool:
    """Makes the workflows that come with Deskplane, and brings those that are there to what this version says; answers
    whether that changed any."""
    there = {row.name: row for row in session.execute(select(StoredWorkflow)).scalars()}
    now = clock.now()
    for name, (description, found) in SHIPPED.items():
        transitions, final = to_stored(found)
        values = {"description": description, "transitions": transitions, "final": final, "shipped": True}
        row = there.get(name)
        if row is None:
            row = StoredWorkflow(id=new_id(), version=1, name=name, created_at=now, updated_at=now, **values)
            session.add(row)
        elif any(getattr(row, field) != value for field, value in values.items()):
            for field, value in {**values, "version": row.version + 1, "updated_at": now}.items():
                setattr(row, field, value)
    changed = bool(session.new or session.dirty)
    session.flush()
    return changed
