"""Markdown as the reference's generators write it: markup, tables, types and limits in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Ansible's markup, in which the schemas' descriptions are written. What it names is shown as code.
MARKUP = re.compile(r"\b(?:RV|[CVOEMPIBR])\(((?:\\.|[^)\\])*)\)")
CODE = re.compile(r"(`[^`]*`)")
TYPES = {"str": "string", "int": "integer", "bool": "boolean", "dict": "object", "raw": "any", "float": "number"}


def prose(text: Any) -> str:
    """A description as Markdown: markup becomes code, and no character of the rest is taken for Markdown's own."""
    marked = MARKUP.sub(lambda found: f"`{found[1].replace(chr(92), '')}`", str(text))
    parts = CODE.split(marked)
    return "".join(part if part.startswith("`") else re.sub(r"([<*])", r"\\\1", part) for part in parts)


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table. Cells are Markdown already."""
    lines = [list(heads), ["---"] * len(heads), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells) + "\n"


def value(given: Any) -> str:
    """A value as code; nothing for one that says nothing."""
    if given in (None, [], {}, ""):
        return ""
    return f"`{given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)}`"


def codes(words: Iterable[Any]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def slug(heading: str) -> str:
    """The anchor of a heading, as both Git hosts and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).strip().replace(" ", "-")


# --- fields, as `describe` of the server's schemas gives them ---

FIELD_HEADS = ("field", "type", "default", "meaning")


def field_type(field: Mapping[str, Any]) -> str:
    """`string`, `list of email`, …"""
    if field["type"] == "list":
        element = field.get("format") or field.get("elements") or "any"
        return f"list of {TYPES.get(element, element)}s"
    return str(field.get("format") or TYPES.get(field["type"], field["type"]))


def field_rows(fields: Iterable[Mapping[str, Any]], prefix: str = "") -> list[list[str]]:
    """Rows for fields, those of objects below them."""
    rows = []
    for field in fields:
        name = f"{prefix}{field['name']}"
        facts = [prose(line) for line in field["description"]]
        if field.get("choices") and len(field["choices"]) <= 12:
            facts.append(f"One of {codes(field['choices'])}.")
        if field.get("secret"):
            facts.append("A secret: it is never answered.")
        given = "required" if field["required"] else "read only" if field["read_only"] else value(field.get("default"))
        rows.append([f"`{name}`", field_type(field), given, " ".join(facts)])
        rows += field_rows(field.get("options") or [], f"{name}{'[]' if field['type'] == 'list' else ''}.")
    return rows


def field_table(fields: Iterable[Mapping[str, Any]]) -> str:
    return table(FIELD_HEADS, field_rows(fields))


# --- JSON Schema ---

LIMITS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "maxItems": "at most {} items",
    "pattern": "matches `{}`",
}


def alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schema's alternatives that are not null; itself where it has none."""
    found = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return [one for one in found if one.get("type") != "null"]


def nullable(schema: Mapping[str, Any]) -> bool:
    found = schema.get("anyOf") or schema.get("oneOf") or []
    return "null" in _types(schema) or any(one.get("type") == "null" for one in found)


def _types(schema: Mapping[str, Any]) -> list[str]:
    given = schema.get("type", [])
    return [given] if isinstance(given, str) else list(given)


def schema_type(schema: Mapping[str, Any]) -> str:
    """`string`, `list of objects`, `integer or string`, …"""
    words = []
    for one in alternatives(schema):
        for name in [word for word in _types(one) if word != "null"] or ["any"]:
            if name == "array":
                name = f"list of {schema_type(one.get('items', {}))}s"
            elif name == "string":
                name = one.get("format", "string")
            words.append(name)
    return " or ".join(dict.fromkeys(words))


def schema_facts(schema: Mapping[str, Any]) -> list[str]:
    """Allowed words and limits."""
    facts = []
    for one in alternatives(schema):
        part = one.get("items", {}) if "array" in _types(one) else one
        words = [word for word in part.get("enum", []) if word is not None]
        if words and len(words) <= 12:
            facts.append(f"One of {codes(words)}.")
        limits = [text.format(_number(one[name])) for name, text in LIMITS.items() if one.get(name) is not None]
        if limits:
            joined = ", ".join(limits).replace("at least 1 characters", "not empty")
            facts.append(f"{joined[0].upper()}{joined[1:]}.")
    return list(dict.fromkeys(facts))


def _number(limit: Any) -> Any:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}" if isinstance(limit, float) else limit
