"""The endpoint of the audit log, and what the configuration's history shows of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marshmallow import Schema
from sqlalchemy import ColumnElement, select

from deskplane.audit import chain
from deskplane.audit.service import ENTRIES, KEYS
from deskplane.kernel import pagination
from deskplane.kernel.fields import Choice, Moment, Text, Whole
from deskplane.kernel.kind import Registry
from deskplane.kernel.operation import Call, Operation, Reply

ACTIONS = ("create", "update", "delete", "purge", "restore", "rotate")
ORDER = pagination.Order(((ENTRIES.c.id, True),), lambda row: (row["id"],))
_NULLABLE: dict[str, Any] = {"type": ["string", "null"]}
ENTRY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "at": {"type": "string", "format": "date-time"},
        "kind": {"type": "string"},
        "object_id": {"type": "string"},
        "key": {"type": "object"},
        "label": {"type": "string"},
        "action": {"type": "string", "enum": list(ACTIONS)},
        "changes": {"type": "array", "items": {"type": "object"}},
        "who": {"type": "string"},
        "user_id": _NULLABLE,
        "key_id": _NULLABLE,
        "address": _NULLABLE,
        "manager": _NULLABLE,
        "revision": _NULLABLE,
        "request_id": _NULLABLE,
        "sequence": {"type": "integer"},
        "hash": {"type": "string"},
    },
}


class AuditQuery(Schema):
    """Which entries, and how many."""

    kind = Text("Only what was done to objects of this kind, C(api_key), C(desk) and C(audit) among them.", longest=40)
    object_id = Text("Only the object with this id.", longest=36)
    action = Choice("Only this.", ACTIONS)
    who = Text("Only what the user with this name did.", longest=120)
    key_id = Text("Only what was done with the API key of this id.", longest=12)
    address = Text("Only what was done from this address.", longest=80)
    manager = Text("Only what this manager did.", longest=200)
    revision = Text("Only what was done at this revision of a manager.", longest=200)
    since = Moment("Only from this time on.")
    until = Moment("Only before this time.")
    limit = Whole("How many entries a page has.", least=1, most=pagination.MAX_LIMIT, default=50)
    cursor = Text("The next_cursor of the page before.", longest=2000)


_COLUMNS = {
    name: ENTRIES.c[name] for name in ("kind", "object_id", "action", "key_id", "address", "manager", "revision")
}
_COLUMNS["who"] = ENTRIES.c.username


def page(call: Call, scope: str, *conditions: ColumnElement[bool]) -> tuple[list[dict[str, Any]], str | None]:
    """A page of entries as `ENTRY` says, the newest first, by the call's filters, and the cursor of the next one."""
    query, limit = call.query, call.query["limit"]
    named = [column == query[name] for name, column in _COLUMNS.items() if query.get(name) is not None]
    statement = select(ENTRIES).where(*conditions, *named)
    statement = pagination.page(statement, ORDER, scope=scope, cursor=query["cursor"], limit=limit, vault=call.vault)
    rows, following = pagination.cut(
        call.session.execute(statement).mappings().all(), ORDER, scope=scope, limit=limit, vault=call.vault
    )
    return [_shown(call.registry, row) for row in rows], following


def _shown(registry: Registry, row: Any) -> dict[str, Any]:
    content = chain.entry(row)
    kind = registry.kinds.get(row["kind"])
    key = dict(zip(kind.key if kind is not None else KEYS.get(row["kind"], ()), content["key"], strict=False))
    found = {name: content.get(name) for name in chain.FIELDS}
    found["at"], found["key"], found["who"] = row["at"], key, found.pop("username")
    words = "/".join(map(str, content["key"]))
    found["label"] = kind.label(key) if kind is not None else f"{row['kind']} {words}".strip()
    return {**found, "sequence": row["id"], "hash": row["hash"]}


def entries(call: Call) -> Reply:
    """GET /audit"""
    bounds: list[ColumnElement[bool]] = []
    if call.query["since"] is not None:
        bounds.append(ENTRIES.c.at >= call.query["since"])
    if call.query["until"] is not None:
        bounds.append(ENTRIES.c.at < call.query["until"])
    items, following = page(call, "audit", *bounds)
    return Reply({"items": items, "next_cursor": following})


def operations() -> Iterable[Operation]:
    """The one operation."""
    yield Operation(
        "list_audit_entries",
        "GET",
        "/api/v1/audit",
        entries,
        "List who changed what of the configuration and of people's rights, the newest first",
        "audit",
        permission=("audit:read",),
        query=AuditQuery,
        answers={200: ("A page.", pagination.page_schema(ENTRY))},
        description=(
            "Each entry is chained to the one before it by its hash; `deskplane audit verify` says whether all of it "
            "is as it was written. What happens to tickets is in their own history."
        ),
    )
