"""What was done to the configuration, object by object: entries of the audit log, each field before and after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select

from deskplane.audit.service import ENTRIES, Change, Note, append
from deskplane.configuration import differences, store
from deskplane.configuration.deletion import Gone
from deskplane.configuration.entries import Entry
from deskplane.configuration.store import key_of
from deskplane.kernel.kind import Kind, State
from deskplane.kernel.work import Work


def record(work: Work, changed: Sequence[Entry], gone: Gone) -> None:
    """Writes an entry for each object that was made, changed or deleted."""
    notes = []
    for entry in changed:
        outcome = entry.outcome
        if outcome.action == "delete":
            notes.append(_deleted(entry.kind, entry.id, outcome.before or {}))
        elif outcome.action != "none":
            notes.append(_note(entry.kind, entry.id, outcome.after or {}, outcome.action, outcome.changes))
    notes += [_deleted(kind, stored.id, stored.state) for kind, stored in gone.along]
    for kind, stored, field in gone.cleared:
        after = {**stored.state, field: None}
        notes.append(_note(kind, stored.id, after, "update", differences.changes(kind, stored.state, after)))
    append(work, notes)


def note_purged(work: Work, kind: Kind, object_id: str, state: State) -> None:
    """Writes the entry of one object that was ended for good."""
    append(work, [_note(kind, object_id, state, "purge", [])])


def note_made(work: Work, kind: Kind, object_id: str, state: State) -> None:
    """Writes the entry of one object that a room made by itself."""
    append(work, [_note(kind, object_id, state, "create", differences.changes(kind, None, state))])


def _note(kind: Kind, object_id: str, state: State, action: str, changes: Sequence[Change]) -> Note:
    return Note(kind.name, object_id, key_of(kind, state), action, changes)


def _deleted(kind: Kind, object_id: str, state: State) -> Note:
    """With all that it was, as far as that is not what every such object begins with."""
    made = differences.changes(kind, None, state)
    was = [{"field": change["field"], "before": change["after"], "after": None} for change in made]
    return _note(kind, object_id, state, "delete", was)


def latest(work: Work, kind: str, ids: Sequence[str]) -> dict[tuple[str, str | None], tuple[str, datetime]]:
    """Who touched each field of these objects last, and when. Key: id and field; a null field is the deletion."""
    found: dict[tuple[str, str | None], tuple[str, datetime]] = {}
    columns = ENTRIES.c
    wanted = select(columns.object_id, columns.action, columns.changes, columns.username, columns.at)
    for start in range(0, len(ids), store.CHUNK):
        chunk = ids[start : start + store.CHUNK]
        statement = wanted.where(columns.kind == kind, columns.object_id.in_(chunk)).order_by(columns.id)
        for row in work.session.execute(statement):
            if row.action == "delete":
                found[row.object_id, None] = (row.username, row.at)
            changes: list[dict[str, Any]] = orjson.loads(row.changes)
            for change in changes:
                found[row.object_id, change["field"]] = (row.username, row.at)
    return found
