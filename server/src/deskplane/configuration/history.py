"""What was done to the configuration, object by object: who, when, and each field before and after, secrets masked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from deskplane.configuration import differences, store
from deskplane.configuration.deletion import Gone
from deskplane.configuration.entries import Entry
from deskplane.configuration.models import ConfigurationChange
from deskplane.configuration.ownership import Declaration, plain
from deskplane.configuration.store import key_of
from deskplane.kernel.kind import Kind, State
from deskplane.kernel.work import Work


def record(work: Work, declaration: Declaration, changed: Sequence[Entry], gone: Gone) -> None:
    """Writes a row for each object that was made, changed or deleted."""
    rows = [
        _row(
            entry.kind,
            entry.id,
            entry.outcome.after or entry.outcome.before or {},
            entry.outcome.action,
            entry.outcome.changes,
        )
        for entry in changed
        if entry.outcome.action != "none"
    ]
    rows += [_row(kind, stored.id, stored.state, "delete", []) for kind, stored in gone.along]
    for kind, stored, field in gone.cleared:
        after = {**stored.state, field: None}
        rows.append(_row(kind, stored.id, after, "update", differences.changes(kind, stored.state, after)))
    if not rows:
        return
    _write(work, declaration, rows)


def note(work: Work, kind: Kind, object_id: str, state: State, action: str, changes: Sequence[Any]) -> None:
    """Writes the row of one object that was changed outside of the reconciler."""
    _write(work, Declaration(), [_row(kind, object_id, state, action, changes)])


def note_made(work: Work, kind: Kind, object_id: str, state: State) -> None:
    """Writes the row of one object that a room made by itself."""
    note(work, kind, object_id, state, "create", differences.changes(kind, None, state))


def _write(work: Work, declaration: Declaration, rows: Sequence[dict[str, Any]]) -> None:
    common = {
        "at": work.clock.now(),
        "user_id": work.actor.user_id,
        "username": work.actor.username,
        "manager": declaration.manager,
        "revision": declaration.revision,
        "request_id": work.request_id,
    }
    work.session.execute(insert(ConfigurationChange), [{**row, **common} for row in rows])


def _row(kind: Kind, object_id: str, state: State, action: str, changes: Sequence[Any]) -> dict[str, Any]:
    return {
        "kind": kind.name,
        "object_id": object_id,
        "key": list(key_of(kind, state)),
        "action": action,
        "changes": plain(list(changes)),
    }


def latest(work: Work, kind: str, ids: Sequence[str]) -> dict[tuple[str, str | None], tuple[str, datetime]]:
    """Who touched each field of these objects last, and when. Key: id and field; a null field is the deletion."""
    found: dict[tuple[str, str | None], tuple[str, datetime]] = {}
    columns = (
        ConfigurationChange.object_id,
        ConfigurationChange.action,
        ConfigurationChange.changes,
        ConfigurationChange.username,
        ConfigurationChange.at,
    )
    for start in range(0, len(ids), store.CHUNK):
        chunk = ids[start : start + store.CHUNK]
        statement = select(*columns).where(ConfigurationChange.kind == kind, ConfigurationChange.object_id.in_(chunk))
        for row in work.session.execute(statement.order_by(ConfigurationChange.id)):
            if row.action == "delete":
                found[row.object_id, None] = (row.username, row.at)
            for change in row.changes:
                found[row.object_id, change["field"]] = (row.username, row.at)
    return found
