"""The endpoint of the configuration's history."""

from __future__ import annotations

from typing import Any, cast

from marshmallow import Schema
from sqlalchemy import Table, select

from deskplane.configuration.models import ConfigurationChange
from deskplane.kernel import pagination
from deskplane.kernel.fields import Choice, Text, Whole
from deskplane.kernel.kind import Registry
from deskplane.kernel.operation import Call, Operation, Reply

_changes = cast(Table, ConfigurationChange.__table__).c
ORDER = pagination.Order(((_changes.id, True),), lambda row: (row["id"],))


def _query(registry: Registry) -> type[Schema]:
    return type(
        "HistoryQuery",
        (Schema,),
        {
            "kind": Choice("Only objects of this kind.", tuple(kind.name for kind in registry)),
            "object_id": Text("Only the object with this id.", longest=36),
            "manager": Text("Only what this manager did.", longest=200),
            "limit": Whole("How many entries a page has.", least=1, most=pagination.MAX_LIMIT, default=50),
            "cursor": Text("The next_cursor of the page before.", longest=2000),
        },
    )


def history(call: Call) -> Reply:
    """GET /configuration/history, the newest first."""
    query = call.query
    statement = select(
        _changes.id,
        _changes.at,
        _changes.kind,
        _changes.object_id,
        _changes.key,
        _changes.action,
        _changes.changes,
        _changes.username,
        _changes.manager,
        _changes.revision,
        _changes.request_id,
    )
    for name in ("kind", "object_id", "manager"):
        if query[name] is not None:
            statement = statement.where(_changes[name] == query[name])
    scope, limit = "configuration history", query["limit"]
    statement = pagination.page(statement, ORDER, scope=scope, cursor=query["cursor"], limit=limit, vault=call.vault)
    rows = [dict(row) for row in call.session.execute(statement).mappings()]
    page, following = pagination.cut(rows, ORDER, scope=scope, limit=limit, vault=call.vault)
    items = []
    for row in page:
        kind = call.registry[row["kind"]]
        key = dict(zip(kind.key, row.pop("key"), strict=True))
        row.pop("id")
        items.append({**row, "key": key, "label": kind.label(key), "who": row.pop("username")})
    return Reply({"items": items, "next_cursor": following})


def operation(registry: Registry) -> Operation:
    """What was done to the configuration."""
    text: dict[str, Any] = {"type": ["string", "null"]}
    entry = {
        "type": "object",
        "properties": {
            "at": {"type": "string", "format": "date-time"},
            "kind": {"type": "string"},
            "object_id": {"type": "string"},
            "key": {"type": "object"},
            "label": {"type": "string"},
            "action": {"type": "string", "enum": ["create", "update", "delete", "purge"]},
            "changes": {"type": "array", "items": {"type": "object"}},
            "who": {"type": "string"},
            "manager": text,
            "revision": text,
            "request_id": text,
        },
    }
    page = pagination.page_schema(entry)
    return Operation(
        "configuration_history",
        "GET",
        "/api/v1/configuration/history",
        history,
        "List what was done to the configuration, the newest first",
        "configuration",
        permission=("audit:read",),
        query=_query(registry),
        answers={200: ("A page.", page)},
    )
