"""What versions before the audit log wrote of changes, moved into it."""

from __future__ import annotations

from typing import cast

from sqlalchemy import Table, delete, select
from sqlalchemy.orm import Session

from deskplane.audit import chain
from deskplane.audit.models import OlderChange
from deskplane.audit.service import chain_to_last

_OLDER = cast(Table, OlderChange.__table__)
_AT_ONCE = 1000


def take_over(session: Session) -> None:
    """Moves all of it, in the order in which it was written."""
    some = select(_OLDER).order_by(_OLDER.c.id).limit(_AT_ONCE)
    while found := session.execute(some).mappings().all():
        rows = [
            {
                **row,
                "key": chain.text(row["key"]),
                "changes": chain.text(row["changes"]),
                "key_id": None,
                "address": None,
            }
            for row in found
        ]
        session.execute(delete(_OLDER).where(_OLDER.c.id <= found[-1]["id"]))
        chain_to_last(session, rows)
