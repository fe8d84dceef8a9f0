"""The shape of what an apply answers."""

from __future__ import annotations

from typing import Any

CHANGE_SCHEMA = {
    "type": "object",
    "required": ["field", "before", "after"],
    "properties": {"field": {"type": "string"}, "before": {}, "after": {}},
}


def outcome_schema(thing: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of what an apply answers."""
    return {
        "type": "object",
        "required": ["changed", "action", "changes", "before", "after", "unresolved", "warnings"],
        "properties": {
            "changed": {"type": "boolean"},
            "action": {"type": "string", "enum": ["create", "update", "none", "delete"]},
            "changes": {"type": "array", "items": CHANGE_SCHEMA},
            "before": {"anyOf": [thing, {"type": "null"}]},
            "after": {"anyOf": [thing, {"type": "null"}]},
            "unresolved": {"type": "array", "items": {"type": "object"}},
            "warnings": {"type": "array", "items": {"type": "string"}},
        },
    }
