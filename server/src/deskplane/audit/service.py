"""Writing the log. Rooms that change rights or configuration append to it, in the same transaction."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Table, insert, select
from sqlalchemy.orm import Session

from deskplane.audit import chain
from deskplane.audit.models import AuditEntry
from deskplane.kernel.db import execute
from deskplane.kernel.work import Work

ENTRIES = cast(Table, AuditEntry.__table__)
Change = dict[str, Any]
"""`field`, `before`, `after`; secrets masked."""


@dataclass(frozen=True)
class Note:
    """What was done to one object. `key` names it: the parts of its natural key; `kind` is a kind of the registry, or
    one of `KEYS`. No secret is in it."""

    kind: str
    object_id: str
    key: Sequence[Any]
    action: str
    changes: Sequence[Change] = field(default_factory=tuple)


@dataclass(frozen=True)
class Head:
    """The newest entry: who keeps it elsewhere can tell later whether anything up to it was touched."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


KEYS: dict[str, tuple[str, ...]] = {
    "api_key": ("user", "name"),
    "audit": (),
    "desk": (),
    "second_factor": ("user", "name"),
    "identity": ("user", "issuer", "subject"),
}
"""The kinds of entries that are no kinds of the configuration, with the parts of their keys."""


def head(session: Session) -> Head:
    """The newest entry; number 0 where there is none."""
    newest = select(ENTRIES.c.id, ENTRIES.c.hash).order_by(ENTRIES.c.id.desc()).limit(1)
    found = execute(session, newest, {}).first()
    return Head(found.id, found.hash) if found is not None else Head(0, chain.BEGINNING)


def append(work: Work, notes: Sequence[Note]) -> None:
    """Writes entries, in their order. Who, when, from where and for which manager is the work's.

    Those who write queue already, on the configuration's revision; two that did not would meet at the primary key, and
    the second is run anew.
    """
    if not notes:
        return
    work.change_configuration()
    actor = work.actor
    common = {
        "at": work.clock.now(),
        "user_id": actor.user_id,
        "username": actor.username,
        "key_id": actor.key_id,
        "address": work.address,
        "manager": work.manager,
        "revision": work.manager_revision,
        "request_id": work.request_id,
    }
    rows = [
        {
            **common,
            "kind": note.kind,
            "object_id": note.object_id,
            "key": chain.text(list(note.key)),
            "action": note.action,
            "changes": chain.text(list(note.changes)),
        }
        for note in notes
    ]
    chain_to_last(work.session, rows)


def chain_to_last(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Writes rows behind the newest entry, numbered and hashed here."""
    last = head(session)
    previous = last.hash
    for sequence, row in enumerate(rows, last.sequence + 1):
        previous = chain.digest(previous, chain.hashed(row))
        row |= {"id": sequence, "hash": previous}
    execute(session, insert(ENTRIES), rows)


def local_address() -> str:
    """Where the command line is: on this machine, and as whom it is run."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user without an entry, as in some containers
        name = str(os.getuid())
    return f"local:{name}"[:80]
