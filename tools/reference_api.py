"""The API's pages of the reference, from the OpenAPI document: what each operation takes, answers and needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reference_text import alternatives, codes, nullable, prose, schema_facts, schema_type, slug, table

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One operation of the document, with its place in the site."""

    method: str
    path: str
    about: Mapping[str, Any]

    @property
    def page(self) -> str:
        return f"{self.about['tags'][0].replace('_', '-')}"

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def summary(self) -> str:
        return str(self.about["summary"])

    @property
    def link(self) -> str:
        """From a page of the same folder."""
        return f"[{self.summary}]({self.page}.md#{slug(self.summary)})"

    def needs(self) -> str:
        security = self.about.get("security")
        if security is not None:
            return "a session" if security else "no key"
        return codes(self.about.get("x-permission", [])) or "any key"

    def body(self) -> Schema | None:
        content = self.about.get("requestBody", {}).get("content", {})
        return next((part["schema"] for part in content.values()), None)

    def answers(self) -> Iterator[tuple[str, str, str, Schema]]:
        """Status, description, content type, schema."""
        for status, answer in sorted(self.about["responses"].items()):
            content = answer.get("content") or {"": {"schema": {}}}
            for kind, part in content.items():
                yield status, answer["description"], kind, part["schema"]


def entries(document: Mapping[str, Any]) -> list[Entry]:
    return [
        Entry(method.upper(), path, about)
        for path, methods in document["paths"].items()
        for method, about in methods.items()
    ]


class Page:
    """The operations of one tag. What its things look like is told once, where one is read."""

    def __init__(self, listed: list[Entry]) -> None:
        self.listed = listed
        if len({slug(entry.summary) for entry in listed}) != len(listed):
            raise ValueError(f"two operations of {listed[0].page} have the same summary: they could not be told apart")
        self.reading: Entry | None = None
        self.names: set[str] = set()
        for entry in listed:
            if entry.method == "GET" and entry.path.endswith("}"):
                self.reading = entry
                self.names = set(next(entry.answers())[3].get("properties", {}))
        self.applied = next((entry for entry in listed if entry.path.endswith("/apply")), None)

    def is_thing(self, schema: Schema) -> bool:
        return bool(self.names) and set(schema.get("properties", {})) == self.names

    def type_of(self, schema: Schema) -> str:
        ways = alternatives(schema)
        text = schema_type(schema)
        if self.reading and ways:
            link = f"[{self.reading.summary}](#{slug(self.reading.summary)})"
            if self.is_thing(ways[0]):
                text = f"object, as in {link}"
            elif self.is_thing(ways[0].get("items", {})):
                text = f"list of objects, each as in {link}"
        return f"{text} or null" if nullable(schema) else text

    def rows(self, schema: Schema, prefix: str = "", *, asked: bool) -> list[list[str]]:
        """Rows for the properties of an object, those of objects in it below them."""
        found = []
        for name, part in schema.get("properties", {}).items():
            facts = [prose(part["description"])] if part.get("description") else []
            kind = self.type_of(part)
            must = ", required" if asked and name in schema.get("required", ()) else ""
            found.append([f"`{prefix}{name}`", kind + must, " ".join(facts + schema_facts(part))])
            for way in alternatives(part):
                inner, mark = (way["items"], "[].") if "items" in way else (way, ".")
                if not self.is_thing(inner):
                    found += self.rows(inner, f"{prefix}{name}{mark}", asked=asked)
        return found

    def parameters(self, entry: Entry) -> str:
        rows = []
        for part in entry.about.get("parameters", []):
            facts = [prose(part["description"])] if part.get("description") else []
            facts += schema_facts(part["schema"])
            if "default" in part["schema"]:
                facts.append(f"Default: `{part['schema']['default']}`.")
            kind = schema_type(part["schema"]) + (", required" if part["required"] else "")
            rows.append([f"`{part['name']}`", part["in"], kind, " ".join(facts)])
        return f"**Parameters**\n\n{table(('name', 'in', 'type', 'meaning'), rows)}\n" if rows else ""

    def body(self, entry: Entry) -> str:
        schema = entry.body()
        if schema is None:
            return ""
        whole = self.applied.body() if self.applied and entry is not self.applied else None
        parts, known = schema.get("properties", {}), (whole or {}).get("properties", {})
        same = [name for name, part in parts.items() if self.same(part, known.get(name))]
        text = "**Body**\n\n"
        if whole and self.applied and len(same) == len(parts) and not schema.get("required"):
            link = f"[{self.applied.summary}](#{slug(self.applied.summary)})"
            return f"{text}Any of these fields, described under {link}: {codes(same)}.\n\n"
        return text + table(("field", "type", "meaning"), self.rows(schema, asked=True)) + "\n"

    @staticmethod
    def same(one: Schema, other: Schema | None) -> bool:
        return other is not None and one.get("description") == other.get("description")

    def answers(self, entry: Entry) -> str:
        rows, fields, told = [], "", ""
        for status, text, kind, schema in entry.answers():
            shown = f"`{kind}`" if kind else ""
            if kind == "application/problem+json":
                shown = "[problem](index.md#problems)"
            rows.append([status, prose(text), shown])
            if kind == "application/json" and schema.get("properties") and repr(schema) != told:
                if self.is_thing(schema) and entry is not self.reading:
                    fields += f"The answer is an {self.type_of(schema)}.\n\n"
                else:
                    fields += table(("answered", "type", "meaning"), self.rows(schema, asked=False)) + "\n"
                told = repr(schema)
        return f"**Answers**\n\n{table(('status', 'meaning', 'body'), rows)}\n{fields}"

    def section(self, entry: Entry) -> str:
        dry = entry.about.get("x-permission-dry-run")
        needs = f"Needs {entry.needs()}" + (f"; a dry run also goes with {codes(dry)}" if dry else "") + "."
        text = f"## {entry.summary}\n\n```\n{entry.name}\n```\n\n"
        if entry.about.get("description"):
            text += f"{prose(entry.about['description'])}\n\n"
        return text + f"{needs}\n\n" + self.parameters(entry) + self.body(entry) + self.answers(entry)


def title(page: str) -> str:
    words = page.replace("-", " ")
    return (words[0].upper() + words[1:]).replace("Sla ", "SLA ")


def pages(document: Mapping[str, Any]) -> dict[str, str]:
    """Each page by its name: the index, and one for each tag."""
    by_page: dict[str, list[Entry]] = {}
    for entry in entries(document):
        by_page.setdefault(entry.page, []).append(entry)
    index = (
        "# API reference\n\nEvery operation of the server, from its own OpenAPI document. How it thinks is in "
        "[the API](../../api.md); the document itself is at `/api/v1/openapi.json` of each server.\n\n"
        "One of the permissions named is needed.\n\n"
    )
    for page, listed in by_page.items():
        rows = [[f"`{entry.name}`", entry.needs(), entry.link] for entry in listed]
        index += f"## {title(page)}\n\n{table(('operation', 'needs', 'what it does'), rows)}\n"
    problem = Page([]).rows(document["components"]["schemas"]["Problem"], asked=False)
    index += (
        "## Problems\n\nWhat goes wrong is answered as `application/problem+json` (RFC 9457), with every bad field at "
        f"once.\n\n{table(('field', 'type', 'meaning'), problem)}\n"
        "```{toctree}\n:hidden:\n\n" + "\n".join(by_page) + "\n```\n"
    )
    found = {"index.md": index}
    for page, listed in by_page.items():
        made = Page(listed)
        found[f"{page}.md"] = f"# {title(page)}\n\n" + "\n".join(made.section(entry) for entry in listed)
    return found


def links(document: Mapping[str, Any]) -> dict[str, str]:
    """`METHOD /path`, and the path of each list, to their places below the folder of these pages: page#anchor."""
    listed = entries(document)
    found = {entry.path: entry.page for entry in listed if entry.path == f"/api/v1/{entry.page}"}
    return found | {entry.name: f"{entry.page}#{slug(entry.summary)}" for entry in listed}
