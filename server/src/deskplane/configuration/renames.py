"""Which objects got their names by swapping or reusing those of others, so that the same document, applied again,
renames nothing (api: renames)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from deskplane.configuration.entries import Entry
from deskplane.configuration.models import Rename
from deskplane.kernel.work import Work


def remember_renames(work: Work, entries: Sequence[Entry], *, whole: bool) -> None:
    """Notes the renames whose old names the same document declares too, done now or before, and forgets those that it
    does not speak of any more. Only a whole desk's document can do either."""
    if not whole:
        return
    declared = {(entry.kind.name, entry.document.key) for entry in entries}
    session = work.session
    noted: dict[str, set[str]] = defaultdict(set)
    for kind, object_id in session.execute(select(Rename.kind, Rename.object_id)):
        noted[kind].add(object_id)
    new = [
        {"kind": entry.kind.name, "object_id": entry.id, "old_key": list(entry.document.earlier_key or ())}
        for entry in entries
        if (entry.renamed is not None or entry.id not in noted[entry.kind.name])
        and entry.outcome.after is not None
        and entry.document.earlier_key not in (None, entry.document.key)
        and (entry.kind.name, entry.document.earlier_key) in declared
    ]
    renamed_again = {(row["kind"], row["object_id"]) for row in new}
    for kind, object_ids in noted.items():
        gone = sorted(
            entry.id
            for entry in entries
            if entry.kind.name == kind
            and entry.id in object_ids
            and (entry.document.renamed_from is None or (kind, entry.id) in renamed_again)
        )
        if gone:
            work.change_configuration()
            session.execute(delete(Rename).where(Rename.kind == kind, Rename.object_id.in_(gone)))
    if new:
        work.change_configuration()
        session.execute(insert(Rename), new)
