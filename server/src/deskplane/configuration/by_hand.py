"""Changes that the server makes to its own configuration: with history, and as drift of what a manager declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deskplane.configuration import store
from deskplane.configuration.entries import Document
from deskplane.configuration.service import Reconciliation, lock_configuration
from deskplane.kernel.problem import invalid_field
from deskplane.kernel.work import Work


def change(
    work: Work, kind_name: str, object_id: str, fields: Mapping[str, Any], prepared: Mapping[str, Any] | None = None
) -> None:
    """Changes fields of one object, as a PATCH does, if it is there. `prepared` says what becomes of hashed ones
    (`Kind.prepare`). Raises Problem for what is not allowed."""
    lock_configuration(work)
    kind = work.registry[kind_name]
    stored = store.load_by_id(work, kind, object_id)
    if stored is not None:
        keys = {name: stored.state[name] for name in kind.key}
        Reconciliation(work).apply([Document(kind, {**keys, **fields}, subject=stored, prepared=prepared or {})])


def create(work: Work, kind_name: str, fields: Mapping[str, Any], prepared: Mapping[str, Any] | None = None) -> str:
    """Makes an object and answers its id. Raises 422 where there is one of that name, also one that was deleted."""
    lock_configuration(work)
    kind = work.registry[kind_name]
    document = Document(kind, dict(fields), prepared=prepared or {})
    if store.load_by_keys(work, kind, [document.key]):
        raise invalid_field(kind.key[-1], "taken", "is taken; choose another")
    return str(Reconciliation(work).apply([document])[0].id)


class Users:
    """Changes of users, for the room in which people log in."""

    def lock(self, work: Work) -> None:
        """Lets one change of the configuration go after the other, from here on."""
        lock_configuration(work)

    def change(self, work: Work, user_id: str, fields: Mapping[str, Any], prepared: Mapping[str, Any]) -> None:
        """Changes fields of a user, if he is there."""
        change(work, "user", user_id, fields, prepared)

    def create(self, work: Work, fields: Mapping[str, Any], prepared: Mapping[str, Any]) -> str:
        """Makes a user, and answers his id. Raises 422 where the name is taken."""
        return create(work, "user", fields, prepared)
