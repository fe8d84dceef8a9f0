"""What deletions do to other objects, as entries beside those that were declared: a plan that did not name them would
have somebody agree to more than he saw."""

from __future__ import annotations

from collections.abc import Sequence

from deskplane.configuration import differences
from deskplane.configuration.deletion import Gone
from deskplane.configuration.entries import Document, Entry, Outcome
from deskplane.configuration.store import Stored
from deskplane.configuration.troubles import Troubles
from deskplane.kernel.kind import Kind, State
from deskplane.kernel.problem import conflict


def gone_along(entries: Sequence[Entry], gone: Gone, troubles: Troubles) -> list[Entry]:
    """An entry for each object that a deletion took along; what was declared must not be among them."""
    if not gone.along:
        return []
    declared = {(entry.kind.name, entry.id): entry for entry in entries}
    found: list[Entry] = []
    for kind, stored in gone.along:
        entry = declared.get((kind.name, stored.id))
        if entry is None:
            found.append(_entry(kind, stored, Outcome("delete", stored.id, before=stored.state), absent=True))
        else:
            detail = f"{entry.label} would be deleted with what it belongs to; declare it there, or absent"
            troubles.clash(entry.document.place, conflict("has_dependants", detail))
    return found


def cleared(entries: Sequence[Entry], gone: Gone) -> list[Entry]:
    """An entry for each object that lost a reference; those that have one already get the change into theirs."""
    by_object = {(entry.kind.name, entry.id): entry for entry in entries}
    found: list[Entry] = []
    for kind, stored, field in gone.cleared:
        key = (kind.name, stored.id)
        if key not in by_object:
            by_object[key] = _entry(kind, stored, Outcome(id=stored.id, before=stored.state, after=stored.state))
            found.append(by_object[key])
        outcome = by_object[key].outcome
        if outcome.after is None:
            continue  # it goes itself
        after: State = {**outcome.after, field: None}
        outcome.changes = [*outcome.changes, *differences.changes(kind, outcome.after, after)]
        outcome.after = after
        outcome.action = "update" if outcome.action == "none" else outcome.action
    return found


def _entry(kind: Kind, stored: Stored, outcome: Outcome, *, absent: bool = False) -> Entry:
    keys = {name: stored.state[name] for name in kind.key}
    return Entry(Document(kind, keys, absent=absent, subject=stored), stored, stored.id, outcome=outcome)
