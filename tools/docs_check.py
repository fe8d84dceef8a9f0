"""What must hold of the built site, whatever built it: links lead somewhere, nothing is loaded from elsewhere, and
nothing that the product has is left out. Run by `make docs`; needs the server's environment.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deskplane import app
from deskplane.desks.settings import SETTINGS
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.words import EVENTS
from deskplane.settings import Settings

from toolchain import ROOT

LOADS = {"link": "href", "object": "data"} | dict.fromkeys(
    ("audio", "embed", "iframe", "img", "script", "source"), "src"
)
NAMED = ("code", "pre", "h2")
FOREIGN = re.compile(r"(?:@import\s+|url\(\s*)[\"']?((?:https?:)?//[^\"')\s]+)")
# Made by Sphinx for its own use; nobody links to them.
APART = {"search.html", "genindex.html"}


class Page(HTMLParser):
    """What a page links to, loads, can be linked at, and names: the texts of its code and of its second headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.names: set[str] = set()
        self._open: list[tuple[str, list[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: content or "" for name, content in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in LOADS and given.get(LOADS[tag]) and given.get("rel") != "canonical":
            self.loads.append(given[LOADS[tag]])
        if tag in NAMED:
            self._open.append((tag, []))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            self.names.add("".join(self._open.pop()[1]).rstrip("#¶").strip())

    def handle_data(self, data: str) -> None:
        for _, parts in self._open:
            parts.append(data)


def pages(site: Path) -> dict[str, Page]:
    return {str(file.relative_to(site)): Page(file.read_text()) for file in sorted(site.rglob("*.html"))}


def broken(site: Path, found: dict[str, Page]) -> Iterator[str]:
    """Links and loads that lead nowhere, and pages that nothing leads to."""
    reached = {"index.html"}
    for name, page in found.items():
        for address in [*page.links, *page.loads]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            file = (site / name).parent / unquote(parts.path) if parts.path else site / name
            to = str(file.resolve().relative_to(site.resolve())) if file.exists() else ""
            if not to:
                yield f"{name}: links to {address}, which there is not"
            elif to in found:
                reached |= {to} if to != name else set()
                if parts.fragment and unquote(parts.fragment) not in found[to].anchors:
                    yield f"{name}: links to {address}, and {to} has no such place"
    for name in sorted(set(found) - reached - APART):
        yield f"{name}: nothing leads to this page"


def foreign(site: Path, found: dict[str, Page]) -> Iterator[str]:
    """What a reader's browser would load from another place."""
    for name, page in found.items():
        yield from (f"{name}: loads {address}" for address in page.loads if urlsplit(address).netloc)
    for file in sorted(site.rglob("*.css")):
        for address in FOREIGN.findall(file.read_text()):
            yield f"{file.relative_to(site)}: loads {address}"


def plugin_pages() -> Iterator[tuple[str, str]]:
    """Each plugin and role of the collection, and the page that antsibull-docs makes of it."""
    for file in sorted((ROOT / "plugins").glob("*/*.py")):
        kind = {"modules": "module"}.get(file.parent.name, file.parent.name)
        if file.stem.startswith("_") or kind in {"action", "doc_fragments", "module_utils", "plugin_utils"}:
            continue
        for name in named_in(file) if kind in {"filter", "test"} else [file.stem]:
            yield f"{kind} {name}", f"plugins/{name}_{kind}.html"
    for folder in sorted((ROOT / "roles").glob("*")):
        yield f"role {folder.name}", f"plugins/{folder.name}_role.html"


def named_in(file: Path) -> list[str]:
    """The filters or tests of a file: the keys of the mapping that its class answers."""
    return [
        key.value
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef) and function.name in {"filters", "tests"}
        for mapping in ast.walk(function)
        if isinstance(mapping, ast.Dict)
        for key in mapping.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    ]


def expected() -> Iterator[tuple[str, str, str]]:
    """What the product has: in words, the page that tells of it, and the name that stands there as code or heading."""
    for what, page in plugin_pages():
        yield what, page, ""
    registry = app.make_registry()
    for kind in registry:
        for field in kind.fields:
            yield f"field {field} of the kind {kind.name}", f"reference/kinds/{kind.name}.html", field
    for name in PERMISSIONS:
        yield f"permission {name}", "reference/permissions.html", name
    for name in Settings.model_fields:
        yield f"setting {name} of the process", "reference/settings.html", f"DESKPLANE_{name.upper()}"
    for name in SETTINGS:
        yield f"setting {name} of the desk", "reference/settings.html", name
    for name in EVENTS:
        yield f"event {name}", "reference/events.html", name
    for operation in app.make_operations(registry):
        name = f"{operation.method} {operation.path}"
        yield f"operation {name}", f"reference/api/{operation.tag.replace('_', '-')}.html", name
    for file in sorted((ROOT / "playbooks").glob("*.yml")):
        yield f"playbook {file.stem}", "collection/playbooks.html", file.stem
    for file in sorted((ROOT / "extensions" / "eda").glob("plugins/*/[!_]*.py")):
        yield f"event source {file.stem}", "collection/event-source.html", f"deskplane.helpdesk.{file.stem}"
    for file in sorted((ROOT / "extensions" / "eda").glob("rulebooks/*.yml")):
        yield f"rulebook {file.stem}", "collection/event-source.html", f"Rulebook {file.stem}"


def missing(found: dict[str, Page]) -> Iterator[str]:
    """What the product has and no page tells of."""
    for what, page, name in expected():
        if page not in found:
            yield f"{what}: there is no page {page}"
        elif name and name not in found[page].names:
            yield f"{what}: {page} does not tell of it"


def findings(site: Path) -> list[str]:
    """Everything that is wrong, one a line."""
    found = pages(site)
    return [*broken(site, found), *foreign(site, found), *missing(found)]
