"""Changes that the server makes to its own configuration: with history, and as drift of what a manager declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deskplane.configuration import store
from deskplane.configuration.entries import Document
from deskplane.configuration.service import Reconciliation, lock_configuration
from deskplane.kernel.work import Work


def change(work: Work, kind_name: str, object_id: str, fields: Mapping[str, Any]) -> None:
    """Changes fields of one object, as a PATCH does, if it is there. Raises Problem for what is not allowed."""
    lock_configuration(work)
    kind = work.registry[kind_name]
    stored = store.load_by_id(work, kind, object_id)
    if stored is not None:
        keys = {name: stored.state[name] for name in kind.key}
        Reconciliation(work).apply([Document(kind, {**keys, **fields}, subject=stored)])
