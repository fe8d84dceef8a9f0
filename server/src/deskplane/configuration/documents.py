"""The desk's document: every kind's objects, as lists under the kinds' plurals. From JSON to what the reconciler
works on, with everything that is wrong in all of it. No database here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema, ValidationError

from deskplane.configuration.entries import Document
from deskplane.configuration.troubles import Place, Troubles
from deskplane.kernel.compound import described, field_errors, load_given, object_schema
from deskplane.kernel.fields import Choice, Described, Flag, Text, type_name
from deskplane.kernel.kind import Kind, Registry
from deskplane.kernel.words import did_you_mean

MOST_OBJECTS = 100_000
"""In one document: each takes some 10 kB of memory while it is worked on."""


def declaring_options(kind: Kind) -> dict[str, Described]:
    """What may be said of an object besides its fields, wherever it is declared."""
    found: dict[str, Described] = {
        "state": Choice("Whether the object is to be there.", ("present", "absent"), default="present"),
    }
    if not kind.fixed:
        found["renamed_from"] = Text("Earlier name of the object, which then keeps its id.", longest=254)
    if kind.cascades:
        found["cascade"] = Flag("With state absent: delete along what depends on it.", default=False)
    return found


@dataclass(frozen=True)
class Item:
    """How one kind's objects are declared in a document."""

    kind: Kind
    schema: Schema
    options: frozenset[str]

    @classmethod
    def of(cls, kind: Kind) -> Item:
        options = declaring_options(kind)
        if kind.options is not None:
            more = described(kind.options())
            options |= {name: part for name, part in more.items() if name not in kind.beside_options}
        schema = type(f"{kind.name}_item", (kind.schema,), dict(options))
        return cls(kind, schema(), frozenset(options))

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of an object, for editors."""
        found = object_schema(described(self.schema), answer=False, required=self.kind.naming)
        return {**found, "title": self.kind.title, "description": self.kind.short_description}


class DeskDocuments:
    """Reads whole desks' documents."""

    def __init__(self, registry: Registry) -> None:
        self.items = {kind.plural: Item.of(kind) for kind in registry}

    def read(self, configuration: Mapping[str, Any], troubles: Troubles) -> tuple[list[Document], tuple[Kind, ...]]:
        """The documents in it and the kinds that it lists; what is wrong goes to `troubles`."""
        documents: list[Document] = []
        kinds: list[Kind] = []
        count = sum(len(objects) for objects in configuration.values() if isinstance(objects, list))
        if count > MOST_OBJECTS:
            detail = f"must have at most {MOST_OBJECTS} objects, got {count}; declare it in parts"
            troubles.bad((), (), "too_long", detail, MOST_OBJECTS)
        for name, objects in configuration.items():
            item = self.items.get(name)
            if item is None:
                if troubles.enough:
                    continue
                hint = did_you_mean(name, self.items)
                troubles.bad((name[:200],), (), "unknown_kind", f"there is no such kind{hint}", sorted(self.items))
                continue
            kinds.append(item.kind)
            if not isinstance(objects, list):
                detail = f"must be a list of objects, got {type_name(objects)}"
                troubles.bad((name,), (), "wrong_type", detail)
                continue
            for index, given in enumerate(objects if count <= MOST_OBJECTS else ()):
                if troubles.enough:
                    break
                document = _read_item(item, given, (name, index), troubles)
                if document is not None:
                    documents.append(document)
        return documents, tuple(kinds)

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of a document."""
        lists = {
            plural: {
                "type": "array",
                "description": f"The {plural.replace('_', ' ')}, in any order.",
                "items": {"$ref": f"#/$defs/{item.kind.name}"},
            }
            for plural, item in self.items.items()
        }
        found = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "A desk's configuration",
            "description": "Every kind's objects, as lists. A kind that is not listed is left alone.",
            "type": "object",
            "properties": lists,
            "additionalProperties": False,
            "$defs": {item.kind.name: item.json_schema() for item in self.items.values()},
        }
        readable: dict[str, Any] = _without_markup(found)
        return readable


_MARKUP = re.compile(r"\b[A-Z]\(([^()]*)\)")


def _without_markup(value: Any) -> Any:
    """Descriptions as plain text: they are written with the marks of Ansible's documentation."""
    if isinstance(value, dict):
        return {
            name: _MARKUP.sub(r"\1", item) if name == "description" and isinstance(item, str) else _without_markup(item)
            for name, item in value.items()
        }
    return [_without_markup(item) for item in value] if isinstance(value, list) else value


def _read_item(item: Item, given: Any, place: Place, troubles: Troubles) -> Document | None:
    kind = item.kind
    if not isinstance(given, dict):
        troubles.bad(place, (), "wrong_type", f"must be an object, got {type_name(given)}")
        return None
    bad: set[str] = set()
    try:
        loaded = load_given(item.schema, given)
    except ValidationError as error:
        errors = field_errors(error.messages, item.schema)
        troubles.bad_fields(place, errors)
        bad = {failed.pointer.removeprefix("#/").split("/")[0] for failed in errors}
        loaded = error.valid_data if isinstance(error.valid_data, dict) else {}
    for name in kind.naming:
        if given.get(name) is None and name not in bad:
            troubles.bad(place, (name,), "required", "is required")
            bad.add(name)
    return Document(
        kind,
        given={name: value for name, value in loaded.items() if name in kind.written and name not in bad},
        place=place,
        absent=loaded.get("state") == "absent",
        renamed_from=loaded.get("renamed_from"),
        options={name: value for name, value in loaded.items() if name in item.options},
        bad=frozenset(bad),
        raw=given,
    )
