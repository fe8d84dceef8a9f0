"""The endpoint of the configuration's history: the part of the audit log that is about its objects."""

from __future__ import annotations

from marshmallow import Schema

from deskplane.audit import api as audit
from deskplane.audit.service import ENTRIES
from deskplane.kernel import pagination
from deskplane.kernel.fields import Choice, Text, Whole
from deskplane.kernel.kind import Registry
from deskplane.kernel.operation import Call, Operation, Reply

_SHOWN = (
    "at",
    "kind",
    "object_id",
    "key",
    "label",
    "action",
    "changes",
    "who",
    "manager",
    "revision",
    "request_id",
)


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
    of_objects = ENTRIES.c.kind.in_(list(call.registry.kinds))
    found, following = audit.page(call, "configuration history", of_objects)
    items = [{**{name: item[name] for name in _SHOWN}, "username": item["who"]} for item in found]
    return Reply({"items": items, "next_cursor": following})


def operation(registry: Registry) -> Operation:
    """What was done to the configuration."""
    entry = {"type": "object", "properties": {name: audit.ENTRY["properties"][name] for name in _SHOWN}}
    return Operation(
        "configuration_history",
        "GET",
        "/api/v1/configuration/history",
        history,
        "List what was done to the configuration, the newest first",
        "configuration",
        permission=("audit:read",),
        query=_query(registry),
        answers={200: ("A page.", pagination.page_schema(entry))},
    )
