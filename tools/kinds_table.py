"""The table of kinds that the readers of a desk's files use, for `generate_modules`."""

from __future__ import annotations

from typing import Any

from plugin_text import to_python


def field_table(fields: list[dict[str, Any]]) -> dict[str, Any]:
    """Which fields are texts, times of day and secrets, and which are objects that are merged part by part."""
    found: dict[str, Any] = {}
    for field in fields:
        if field.get("read_only"):
            continue
        kind = field.get("elements") or field["type"]
        if field.get("options"):
            found[field["name"]] = {**({"": "list"} if field.get("elements") else {}), **field_table(field["options"])}
        elif field.get("secret"):
            found[field["name"]] = "secret"
        elif field.get("format") == "time":
            found[field["name"]] = "time"
        elif kind == "str":
            found[field["name"]] = "text"
    return found


def kinds_file(kinds: list[dict[str, Any]]) -> str:
    table = {
        kind["plural"]: {
            "kind": kind["name"],
            "key": list(kind["key"]),
            "fields": field_table(kind["fields"] + (kind.get("options") or [])),
        }
        for kind in kinds
    }
    return (
        '"""The kinds of a desk as its files name them: key, and of each field what a reader must know.\n\n'
        + "A field that is no text is not listed; one with fields of its own is a dict of these, with an entry\n"
        + 'for the empty name where it is a list of such objects.\n"""\n\n'
        + "from __future__ import annotations\n\nfrom typing import Any, Dict\n\n"
        + f"KINDS: Dict[str, Dict[str, Any]] = {to_python(table)}\n"
    )
