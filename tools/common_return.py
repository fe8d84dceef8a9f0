"""What the RETURN block of every generated module says, for `generate_modules`."""

from __future__ import annotations

from typing import Any

WHEN: dict[str, Any] = {
    "created_at": {"description": ["When it was made."], "type": "str", "returned": "success"},
    "updated_at": {"description": ["When it was last changed."], "type": "str", "returned": "success"},
}

COMMON_RETURN: dict[str, Any] = {
    "action": {
        "description": "What was done, or in check mode would be done.",
        "returned": "success",
        "type": "str",
        "choices": ["create", "update", "none", "delete"],
        "sample": "update",
    },
    "changes": {
        "description": "Each field that differs. Secrets are never shown.",
        "returned": "success",
        "type": "list",
        "elements": "dict",
        "contains": {
            "field": {"description": "Name of the field, dotted below an option with suboptions.", "type": "str"},
            "before": {"description": "What it was.", "type": "raw"},
            "after": {"description": "What it is now.", "type": "raw"},
        },
        "sample": [{"field": "description", "before": None, "after": "On call around the clock"}],
    },
    "adopted": {
        "description": "Whether the task's manager became the owner of the object.",
        "returned": "when the task has a manager",
        "type": "bool",
        "sample": False,
    },
    "released": {
        "description": "Fields that the manager declared before and declares no longer. They keep their values.",
        "returned": "when the task has a manager and released some",
        "type": "list",
        "elements": "str",
        "sample": ["description"],
    },
    "problem": {
        "description": "The desk's problem document (RFC 9457), with every bad field.",
        "returned": "when the desk refused",
        "type": "dict",
    },
}
