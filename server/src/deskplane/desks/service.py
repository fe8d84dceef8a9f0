"""What a fresh desk begins with."""

from __future__ import annotations

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from deskplane.desks.models import Setting
from deskplane.desks.settings import SETTINGS
from deskplane.kernel.clock import Clock
from deskplane.kernel.ids import new_id


def ship_settings(session: Session, clock: Clock) -> None:
    """Makes a row, with the default, for each setting that this version knows and the database does not."""
    there = set(session.execute(select(Setting.key)).scalars())
    now = clock.now()
    rows = [
        {"id": new_id(), "version": 1, "key": key, "value": part.initial(), "created_at": now, "updated_at": now}
        for key, part in SETTINGS.items()
        if key not in there
    ]
    if rows:
        session.execute(insert(Setting), rows)
