"""Watches that every transaction which writes configuration raises its revision: what a process keeps of the
configuration rests on that."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, event

from deskplane.app import Desk
from deskplane.kernel.revision import CONFIGURATION

_WRITES = re.compile(r"\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+\"?(\w+)", re.IGNORECASE)
_NOT_KEPT = re.compile(r"UPDATE users SET (last_login_at|password_hash)=[^,]+ WHERE")
"""What logging in writes by the way: when, and another hash of the same password. Nothing follows from either."""
_BESIDE_KINDS = {"managers", "claims", "renames"}


class RevisionWatch:
    """The statements of one desk that were committed without a new revision, one of each transaction."""

    def __init__(self, desk: Desk) -> None:
        self.unsaid: list[str] = []
        tables = {kind.model.__tablename__ for kind in desk.registry}
        tables |= {part.table.name for kind in desk.registry for part in kind.parts.values()}
        self._tables = tables | _BESIDE_KINDS
        self._written: dict[Connection, str] = {}
        self._raised: set[Connection] = set()
        engine = desk.database.writing
        event.listen(engine, "before_cursor_execute", self._executed)
        event.listen(engine, "commit", self._committed)
        event.listen(engine, "rollback", self._forget)

    def _executed(self, connection: Connection, _cursor: object, statement: str, values: Any, *_others: Any) -> None:
        found = _WRITES.match(statement)
        if found is None or _NOT_KEPT.match(statement):
            return
        if found[1] == "revisions":
            if CONFIGURATION in repr(values):
                self._raised.add(connection)
        elif found[1] in self._tables:
            self._written.setdefault(connection, statement)

    def _committed(self, connection: Connection) -> None:
        if connection in self._written and connection not in self._raised:
            self.unsaid.append(self._written[connection])
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._written.pop(connection, None)
        self._raised.discard(connection)
