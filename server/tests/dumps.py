"""What a database holds, whole, so that two moments can be compared."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from deskplane.app import Desk
from deskplane.migrations.tables import metadata

BESIDE = {"last_used_at", "seen_at"}
"""Columns that any request may touch: a key's last use, a worker's sign of life."""


COUNTED = {"rate_counts", "public_api_usage"}
"""Tables in which the requests themselves are counted, also those that are refused."""


def dump(desk: Desk) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table but those that count requests, in one snapshot."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with desk.database.transaction(write=False) as session:
        for table in metadata.sorted_tables:
            if table.name in COUNTED:
                continue
            columns = [column for column in table.columns if column.name not in BESIDE]
            rows = session.execute(select(*columns)).all()
            found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    return found


def text_of(desk: Desk) -> str:
    """The dump as text, to look for what must not be there."""
    return repr(dump(desk))
