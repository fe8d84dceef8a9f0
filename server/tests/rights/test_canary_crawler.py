"""A crawler over the OpenAPI document: whatever a caller asks, nothing internal and nothing of a foreign customer that
he may not read is in any answer, not in its headers, not in an error, not in a hint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from conftest import Api
from deskplane.app import make_worker

FOREIGN = {
    name: f"canaryforeign{name}"
    for name in [
        "title",
        "description",
        "tag",
        "key",
        "note",
        "customer",
        "contact",
        "person",
        "asset",
        "place",
        "project",
        "file",
    ]
}
INTERNAL = {name: f"canaryinternal{name}" for name in ("note", "tag", "key", "file")}
NAMES = {
    "customer": FOREIGN["customer"],
    "contact": f"{FOREIGN['contact']}@example.org",
    "asset": FOREIGN["asset"],
    "assets": FOREIGN["asset"],
    "tag": FOREIGN["tag"],
    "title": FOREIGN["title"],
    "correlation_key": FOREIGN["key"],
}
"""What one could know of a foreign thing, by the field or parameter in which one would try it."""


class Crawler:
    """One caller, and what must never be shown to him."""

    def __init__(
        self, api: Api, canaries: dict[str, str], document: dict[str, Any], things: dict[str, list[str]]
    ) -> None:
        self.api = api
        self.canaries = list(canaries.values())
        self.document = document
        self.things = things
        self.answered = 0
        self.asked: set[str] = set()
        self.written = ""

    def crawl(self) -> None:
        """Reads everything, tries to write everything, and reads once more what became of that."""
        for reading in (True, False, True):
            for path, methods in self.document["paths"].items():
                for method, operation in methods.items():
                    if (method == "get") is reading:
                        for concrete in self._paths(path, method):
                            self._operation(method.upper(), concrete, operation)

    def _paths(self, path: str, method: str) -> Iterator[str]:
        """The path with own and foreign things in it; what is deleted is only the foreign ones."""
        if "{" not in path:
            yield path
            return
        own_too = method != "delete"
        room = path.removeprefix("/api/v1/").removeprefix("/public/v1/").split("/")[0]
        for thing in self.things.get(room, ["1"])[0 if own_too else 1 :]:
            first, _, rest = path.partition("{")
            rest = rest.partition("}")[2]
            for inner in ["1", "2", *self.things["tickets"], *self.things["files"]] if "{" in rest else [""]:
                there = rest
                while "{" in there:
                    before, _, after = there.partition("{")
                    there = before + inner + after.partition("}")[2]
                yield first + thing + there

    def _operation(self, method: str, path: str, operation: dict[str, Any]) -> None:
        if self._ask(method, path, {} if "requestBody" in operation else None) == 403:
            return
        for parameter in operation["parameters"]:
            if parameter["in"] == "query":
                for value in _values(parameter["name"], parameter["schema"]):
                    self._ask(method, f"{path}?{parameter['name']}={quote(value)}", {} if method != "GET" else None)
        if "application/json" not in operation.get("requestBody", {}).get("content", {}):
            return
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        names = {name: list(_values(name, part)) for name, part in schema["properties"].items()}
        whole = {name: _typed(schema["properties"][name], names[name][0]) for name in schema.get("required", ())}
        dry = "?dry_run=true" if any(each["name"] == "dry_run" for each in operation["parameters"]) else ""
        for name, values in names.items():
            for value in values:
                self._ask(method, path + dry, {**whole, name: _typed(schema["properties"][name], value)})

    def _ask(self, method: str, path: str, body: Any) -> int:
        answer = self.api.request(method, path, body)
        sent = f"{path} {json.dumps(body)}".lower()
        shown = f"{answer.get_data(as_text=True)} {answer.headers}".lower()
        if method != "GET":
            self.written += sent  # what he wrote himself he may read
        known = sent + self.written
        found = [canary for canary in self.canaries if canary in shown and canary not in known]
        assert not found, f"{method} {path} {body} shows {found}: {shown[:2000]}"
        assert answer.status_code < 500, f"{method} {path} {body}: {shown[:500]}"
        self.answered += 200 <= answer.status_code < 300
        self.asked.add(path.split("?")[0])
        return answer.status_code


def _values(name: str, schema: dict[str, Any]) -> Iterator[str]:
    """What one could try for a parameter or field, cunning names among them."""
    kinds = json.dumps(schema)
    if name == "dry_run":
        return
    if '"enum"' in kinds:
        alternatives = [schema, schema.get("items", {})]
        yield from [str(value) for part in alternatives for value in part.get("enum", ()) if value is not None][:3]
    elif '"boolean"' in kinds:
        yield from ("true", "false")
    elif '"integer"' in kinds:
        yield "1"
    elif "date-time" in kinds:
        yield from ("2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z")
    else:
        yield "canaryforeig"
        if name in NAMES:
            yield NAMES[name]
        if name == "q":
            yield from (FOREIGN["title"], FOREIGN["person"], INTERNAL["note"], FOREIGN["title"][:-2])


def _typed(schema: dict[str, Any], text: str) -> Any:
    """A value as the body's schema has it."""
    kinds = schema.get("type", "string")
    if "array" in kinds:
        return [_typed(schema.get("items", {}), text)]
    if "boolean" in kinds:
        return text == "true"
    if "integer" in kinds:
        return 1
    return {} if "object" in kinds else text


@pytest.fixture
def things(api: Api) -> dict[str, list[str]]:
    """Own and foreign things that bear the canaries: by the first part of their address, an own and a foreign one."""
    found: dict[str, list[str]] = {}
    foreign = FOREIGN["customer"]
    api.apply("departments", name="desk")
    for customer in ("own", foreign):
        api.apply("customers", name=customer, notes=FOREIGN["description"] if customer == foreign else "")
        mark = FOREIGN if customer == foreign else dict.fromkeys(FOREIGN, "own")
        made = {
            "assets": api.apply("assets", name=mark["asset"], customer=customer, location=mark["place"]),
            "contacts": api.apply(
                "contacts", email=f"{mark['contact']}@example.org", customer=customer, last_name=mark["person"]
            ),
            "projects": api.apply("projects", name=mark["project"], customer=customer),
        }
        for room, outcome in made.items():
            found.setdefault(room, []).append(outcome["after"]["id"])
        ticket = api.call(
            "POST",
            "/tickets",
            {
                "title": mark["title"],
                "description": mark["description"],
                "customer": customer,
                "department": "desk",
                "tags": [FOREIGN["tag"] if customer == foreign else INTERNAL["tag"]],
                "correlation_key": FOREIGN["key"] if customer == foreign else INTERNAL["key"],
                "contact": f"{mark['contact']}@example.org",
                "assets": [mark["asset"]],
            },
            status=201,
        )
        found.setdefault("tickets", []).append(ticket["number"])
        file = FOREIGN["file"] if customer == foreign else INTERNAL["file"]
        sent = f"/tickets/{ticket['number']}/attachments?name={file}.txt&internal={str(customer == 'own').lower()}"
        found.setdefault("files", []).append(api.request("POST", sent, data=file.encode()).get_json()["id"])
        if customer == foreign:
            api.call("PATCH", f"/tickets/{ticket['number']}", {"comment": FOREIGN["note"]})
        else:  # what once stood in internal fields only their history tells
            over = {"comment": INTERNAL["note"], "tags": [], "correlation_key": None}
            api.call("PATCH", f"/tickets/{ticket['number']}", over)
    worker = make_worker(api.desk)
    while worker.drain_once():
        pass  # the feed of events is theirs to write
    for room in ("customers", "departments", "labels", "ticket-types"):
        items = api.call("GET", f"/{room}?limit=50")["items"]
        found[room] = [item["id"] for item in sorted(items, key=lambda item: item.get("name") == foreign)] or ["1"]
    return found


@pytest.mark.feature("F001")
@pytest.mark.parametrize("role", ["agent", "user", "requester"])
def test_no_canary_is_in_any_answer_of_who_may_not_read_it(api: Api, things: dict[str, list[str]], role: str) -> None:
    document = api.call("GET", "/openapi.json")
    caller = api.as_user("mia", roles=[role], memberships=[{"customer": "own", "role": "member"}])
    api.apply("departments", name="desk", members=["mia"])
    internal = {} if role == "agent" else {f"own {name}": canary for name, canary in INTERNAL.items()}
    canaries = FOREIGN | internal
    crawler = Crawler(caller, canaries, document, things)
    crawler.crawl()
    assert crawler.answered > 100, "it read something"
    assert any(things["tickets"][0] in path for path in crawler.asked)
